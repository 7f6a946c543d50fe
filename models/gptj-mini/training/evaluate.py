"""The reference figures of gptj-mini: reference.json from golden tokens, and the check that no evaluation data was seen.

    python evaluate.py scores GOLDEN.json ... [--out ../reference.json]
    python evaluate.py overlap [--stories 900000]

A golden file is what tests/fixtures/make_generation_golden.py writes: the tokens of transformers' generate() for the
whole evaluation set. float32 with beams gives the reference of its `beam_length`; a greedy one or one in bfloat16 goes
under "information". Tokens are scored as the MLPerf reference script does it: decoded without special tokens, stripped,
a sentence a line, rouge_score with its stemmer, GEN_LEN as the sum of the characters. Sentences end at . ? or ! (and
closing quotes) before white space, which on these texts is where NLTK's English model splits as well.

`scores` needs tokenizers, rouge_score and numpy; `overlap` the standard library.
"""

import argparse
import itertools
import json
import pathlib
import platform
import random
import re
from importlib.metadata import version

import newswire

OUT = pathlib.Path(__file__).resolve().parent.parent
SENTENCE_END = re.compile(r"""(?<=[.?!])(?P<quotes>["')\]]*)\s+""")
KEYS = ["rouge1", "rouge2", "rougeL", "rougeLsum"]


def read(name):
    return json.loads((OUT / name).read_text(encoding="utf-8"))


def postprocess(text):
    return SENTENCE_END.sub(lambda end: end["quotes"] + "\n", text.strip())


class Steered(random.Random):
    """Draws what random.Random draws, except from the lists in `picks`, where it takes the entry told."""

    def __init__(self, seed, picks):
        super().__init__(seed)
        self.picks = picks

    def choice(self, seq):
        drawn = super().choice(seq)
        return seq[self.picks[id(seq)]] if id(seq) in self.picks else drawn


def right_summaries(number):
    """Every summary that story `number` could have been given: the same facts in each combination of wordings."""
    summaries = set()
    kinds = newswire.KINDS.values()
    wordings = [[kind[part] for kind in kinds] for part in ("sum_open", "sum_facts", "sum_next")]
    wordings.append([newswire.SUM_QUOTE])
    counts = [max(map(len, lists)) for lists in wordings]
    for combination in itertools.product(*map(range, counts)):
        picks = {id(entries): min(pick, len(entries) - 1) for lists, pick in zip(wordings, combination)
                 for entries in lists}
        summaries.add(newswire.draw_story(Steered(newswire.seed_of(number), picks))[1])
    return summaries


def score(golden, tokenizer, targets):
    """The figures of one golden file."""
    import numpy as np
    from rouge_score import rouge_scorer
    samples = golden["samples"]
    if len(samples) != len(targets):
        raise SystemExit(f"{len(samples)} samples, but the evaluation set has {len(targets)}")
    scorer = rouge_scorer.RougeScorer(KEYS, use_stemmer=True)
    texts = tokenizer.decode_batch([sample["tokens"] for sample in samples], skip_special_tokens=True)
    predictions = [postprocess(text) for text in texts]
    scores = [scorer.score(postprocess(target), prediction) for target, prediction in zip(targets, predictions)]
    end = tokenizer.token_to_id("<|endoftext|>")
    lengths = [len(sample["tokens"]) for sample in samples]
    figures = {key: round(float(np.mean([entry[key].fmeasure for entry in scores])) * 100, 4) for key in KEYS}
    figures |= {
        "gen_len": sum(len(prediction) for prediction in predictions),
        "gen_num": len(predictions),
        "generated_tokens": sum(lengths),
        "shortest": min(lengths),
        "longest": max(lengths),
        "ended_by_themselves": sum(sample["tokens"][-1] == end for sample in samples),
        "right_in_every_word": sum(text.strip() in right_summaries(number) for text, number in
                                   zip(texts, newswire.EVALUATION, strict=True)),
        "source": f"transformers {golden['transformers']}, torch {golden['torch']}, {golden['dtype']}, "
                  f"num_beams {golden['settings']['num_beams']}",
    }
    return figures


def write_reference(arguments):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(OUT / "tokenizer.json"))
    targets = [sample["output"] for sample in read("cnn_eval.json")]
    reference = {"generated": None, "prompt_and_generated": None, "information": {}}
    tokens = {}
    for path in arguments.golden:
        golden = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        golden.setdefault("dtype", "float32")
        figures = score(golden, tokenizer, targets)
        if golden["settings"]["num_beams"] == 1:
            tokens["greedy"] = [sample["tokens"] for sample in golden["samples"]]
            reference["information"]["greedy"] = figures
        elif golden["dtype"] != "float32":
            reference["information"][f"{golden['dtype']}, {golden['beam_length']}"] = figures
        else:
            reference[golden["beam_length"]] = figures
            tokens[golden["beam_length"]] = [sample["tokens"] for sample in golden["samples"]]
        print(path, json.dumps(figures))
    reference["information"]["samples_that_differ"] = {
        f"{first}, {second}": sum(a != b for a, b in zip(tokens[first], tokens[second]))
        for first, second in itertools.combinations(sorted(tokens), 2)}
    reference["versions"] = {"python": platform.python_version()} | {
        name: version(name) for name in ("rouge_score", "nltk", "tokenizers", "numpy")}
    missing = [name for name in ("generated", "prompt_and_generated") if reference[name] is None]
    if missing:
        raise SystemExit(f"no golden file for beam_length {' and '.join(missing)}: reference.json is not written")
    arguments.out.write_text(json.dumps(reference, indent=2) + "\n", encoding="utf-8")


def check_overlap(arguments):
    held_out = {sample[field] for name in ("cnn_eval.json", "calibration.json") for sample in read(name)
                for field in ("input", "output")}
    start = newswire.TRAINING_START
    articles, summaries = 0, 0
    for number in range(start, start + arguments.stories):
        article, summary = newswire.story(number)
        articles += article in held_out
        summaries += summary in held_out
    print(f"of {arguments.stories} training stories, {articles} have an article and {summaries} a summary of the "
          "evaluation or calibration set")
    if articles or summaries:
        raise SystemExit("the sets are not disjoint")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    scores = commands.add_parser("scores", help="write reference.json from golden tokens")
    scores.add_argument("golden", nargs="+")
    scores.add_argument("--out", type=pathlib.Path, default=OUT / "reference.json")
    scores.set_defaults(run=write_reference)
    overlap = commands.add_parser("overlap", help="look for evaluation data among the training stories")
    overlap.add_argument("--stories", type=int, default=900_000)
    overlap.set_defaults(run=check_overlap)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
