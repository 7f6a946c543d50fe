//! What the sentence splitter knows about English.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Abbreviations of news English, without their last period. Only such as Punkt's English knows:
/// it does not know `No.`, `Gov.`, `etc.` or `e.g.`, so they end a sentence there and here.
pub static ABBREVIATIONS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "
    adm ala ariz aug ave bros calif co col colo conn corp cos ct dec dr feb fla fri ft ga gen
    ill inc jan jr kan ky lt ltd m.b.a maj messrs mg mich minn mr mrs ms nev nov oct okla ore
    pa ph.d prof rep reps sen sep sept sr st tenn tues u.s.a u.s.s.r va vs vt w.va wash wed
    wis yr
        ",
    )
});

/// Words that are hardly ever capitalised inside a sentence: one of them with a capital after an
/// abbreviation, an initial or an ellipsis opens a sentence.
pub static SENTENCE_OPENERS: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "
    aboard above according accordingly afterward afterwards almost along already although
    always among anyone anything anyway authorities behind beneath besides between beyond both
    briefly but critics currently despite does earlier easily either elsewhere enough
    especially even eventually ever exactly except experts fans fewer finally following
    formerly frankly fully furthermore he hence her here herself him himself however hundreds
    i if immediately in indeed initially inside instead into it jurors largely lately likewise
    looking mainly many meanwhile millions moreover most nearby neither nor normally nothing
    nowhere occasionally originally otherwise overall particularly passengers possibly
    presumably previously probably prosecutors recently regardless relatives researchers
    residents roughly sadly seven shortly similarly simply since so some someone sometimes
    somewhat soon speaking still subsequently such suddenly supporters supposedly surely ten
    thanks the them there thereafter therefore these they this though through throughout thus
    together tomorrow towards typically ultimately under unfortunately unless unlike upon us
    using various visitors volunteers voters when whenever whether which while whom widely
    within without witnesses yesterday yet your
        ",
    )
});

fn words(text: &'static str) -> HashSet<&'static str> {
    text.split_whitespace().collect()
}
