"""A synthetic newswire: articles with their summaries, drawn from a seed.

Every name, number and sentence is made here. A story has a handful of facts: what happened, where, when, who speaks,
which figures, what follows. The article spreads them over its length, between sentences about other people, places and
figures that do not belong to the story (distractors). The summary states the facts in one of several wordings chosen at
random, so that many summaries of one article are equally right and the best one is a matter of search.
"""

import random

ONSETS = ["B", "Br", "C", "Ch", "D", "Dr", "F", "G", "Gr", "H", "J", "K", "Kl", "L", "M", "N", "P", "Pr", "R", "S", "Sh",
          "St", "T", "Th", "Tr", "V", "W", "Z"]
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ou", "ie"]
CODAS = ["l", "n", "r", "s", "t", "m", "nd", "rk", "ll", "ss", "x", "th", "v", "ck", "lm"]
NAME_ENDS = ["er", "son", "sen", "ov", "ini", "ez", "ard", "man", "ell", "in", "o", "a", "ley", "ke"]
PLACE_ENDS = ["ton", "ford", "bury", "haven", "dale", "port", "field", "mouth", "stad", "grad", "burg", "ville", "wick",
              "holm", "pool", "bridge"]
FIRST_NAMES = ["Anna", "Marek", "Ines", "Tomas", "Leila", "Oskar", "Priya", "Hugo", "Nadia", "Felix", "Rosa", "Viktor",
               "Amara", "Jonas", "Celia", "Dmitri", "Elena", "Samuel", "Mina", "Pablo", "Greta", "Idris", "Clara",
               "Rafael", "Sofia", "Emil", "Zara", "Henrik", "Lucia", "Kofi", "Marta", "Ivan", "Noor", "Peter", "Alma",
               "Yusuf", "Edith", "Karl", "Tara", "Simon", "Olga", "Mateo", "Ruth", "Anton", "Lena", "Omar", "Vera",
               "David", "Paula", "Niklas"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December"]
COMPANY_ENDS = ["Energy", "Motors", "Foods", "Shipping", "Bank", "Textiles", "Systems", "Airlines", "Steel", "Media"]

# One kind of story: {field}s are filled from the story's facts. Each list holds wordings of one statement; the summary
# lists hold the same statement in the summary's voice.
KINDS = {
    "flood": {
        "numbers": {"homes": (20, 900), "people": (50, 4000), "cost": (2, 95)},
        "roles": ["mayor", "fire chief", "governor", "relief coordinator"],
        "causes": ["a levee gave way", "the river burst its banks", "a storm drain collapsed", "a dam gate jammed open"],
        "open": ["{place} was under water on {day} after {cause} during the night.",
                 "Floods swept through {place} on {day} after {cause}, leaving streets impassable."],
        "facts": ["Water entered at least {homes} homes and {people} people were moved to shelters.",
                  "Some {people} residents had to leave and {homes} homes were damaged, officials counted."],
        "money": ["Repairs are expected to cost {cost} million dollars, according to a first estimate.",
                  "A first estimate puts the damage at {cost} million dollars."],
        "quotes": ["we have never seen the water rise this fast", "every pump in the region is running",
                   "nobody should go home before the all-clear", "the worst is over but the mud will stay for weeks"],
        "next": ["Schools stay closed until {nextday}, when engineers inspect the bridges.",
                 "Engineers will inspect the bridges on {nextday}; until then schools stay closed."],
        "sum_open": ["{place} was flooded on {day} after {cause}.", "{cause_cap} and flooded {place} on {day}.",
                     "Floods hit {place} on {day} after {cause}."],
        "sum_facts": ["{homes} homes were damaged and {people} people moved to shelters.",
                      "{people} people left and {homes} homes were damaged.",
                      "The water damaged {homes} homes and drove out {people} people."],
        "sum_next": ["Bridges are inspected on {nextday}.", "Schools are closed until {nextday}.",
                     "Engineers inspect the bridges on {nextday}."],
    },
    "merger": {
        "numbers": {"homes": (3, 60), "people": (100, 9000), "cost": (12, 980)},
        "roles": ["chief executive", "chairman", "finance director", "union leader"],
        "causes": ["two years of talks", "a bidding war", "months of losses", "pressure from shareholders"],
        "open": ["{company} agreed on {day} to buy its rival {company2} after {cause}.",
                 "After {cause}, {company} said on {day} that it will take over {company2}."],
        "facts": ["The new group will run {homes} plants and employ {people} workers, most of them in {place}.",
                  "Together the firms have {people} employees and {homes} plants; the head office stays in {place}."],
        "money": ["The deal is worth {cost} million dollars in cash and shares.",
                  "{company} pays {cost} million dollars, part of it in shares."],
        "quotes": ["this makes us stronger in every market", "no plant will close this year",
                   "our customers will notice nothing but lower prices", "the price is fair for both sides"],
        "next": ["Shareholders vote on the plan on {nextday}.", "The plan goes to a vote of shareholders on {nextday}."],
        "sum_open": ["{company} will buy {company2} after {cause}.", "{company} takes over {company2} after {cause}.",
                     "After {cause}, {company} agreed to buy {company2}."],
        "sum_facts": ["The {cost} million dollar deal makes a group with {people} workers.",
                      "The group will have {people} workers in {homes} plants.",
                      "The deal is worth {cost} million dollars."],
        "sum_next": ["Shareholders vote on {nextday}.", "A vote is set for {nextday}.",
                     "The vote of shareholders is on {nextday}."],
    },
    "match": {
        "numbers": {"homes": (4, 9), "people": (900, 70000), "cost": (3, 40)},
        "roles": ["coach", "captain", "goalkeeper", "club president"],
        "causes": ["a late penalty", "a header in extra time", "an own goal", "a free kick from thirty metres"],
        "open": ["{place} beat {place2} on {day} and reached the final, thanks to {cause}.",
                 "Thanks to {cause}, {place} are in the final after a win against {place2} on {day}."],
        "facts": ["It was the {homes}th win in a row, and {people} spectators filled the stadium.",
                  "Before {people} spectators the team won its {homes}th match in a row."],
        "money": ["The club will receive {cost} million dollars in prize money.",
                  "Prize money of {cost} million dollars goes to the club."],
        "quotes": ["we suffered and we deserved it", "this team never stops running", "nobody believed in us in the spring",
                   "tonight we sleep and tomorrow we train"],
        "next": ["The final is played on {nextday} in {place3}.", "{place3} hosts the final on {nextday}."],
        "sum_open": ["{place} beat {place2} through {cause}.", "{place} reached the final with {cause} against {place2}.",
                     "{cause_cap} took {place} past {place2} and into the final."],
        "sum_facts": ["{people} spectators saw the {homes}th win in a row.", "It was the {homes}th win in a row.",
                      "The club earns {cost} million dollars."],
        "sum_next": ["The final is on {nextday} in {place3}.", "{place3} hosts the final on {nextday}.",
                     "They play for the title on {nextday} in {place3}."],
    },
    "trial": {
        "numbers": {"homes": (2, 30), "people": (10, 400), "cost": (1, 70)},
        "roles": ["defence lawyer", "prosecutor", "judge", "court spokesman"],
        "causes": ["taking bribes", "forging invoices", "selling false permits", "tax fraud"],
        "open": ["A court in {place} on {day} sentenced former minister {name2} to {homes} years in prison for {cause}.",
                 "Former minister {name2} must go to prison for {homes} years for {cause}, a court in {place} ruled on {day}."],
        "facts": ["The court heard {people} witnesses in a trial that began in {month}.",
                  "The trial began in {month}; {people} witnesses were heard."],
        "money": ["Investigators traced {cost} million dollars to accounts abroad.",
                  "Some {cost} million dollars had gone to accounts abroad, investigators found."],
        "quotes": ["the verdict is a signal to everyone in office", "the evidence left no room for doubt",
                   "my client is innocent and will fight on", "nobody stands above the law"],
        "next": ["An appeal must be filed by {nextday}.", "The defence has until {nextday} to appeal."],
        "sum_open": ["Former minister {name2} was sentenced to {homes} years for {cause}.",
                     "{name2} must serve {homes} years for {cause}.",
                     "A court in {place} sentenced {name2} to {homes} years for {cause}."],
        "sum_facts": ["{people} witnesses were heard since {month}.", "{cost} million dollars were traced abroad.",
                      "The trial with {people} witnesses began in {month}."],
        "sum_next": ["An appeal is possible until {nextday}.", "The defence can appeal until {nextday}.",
                     "The time for an appeal ends on {nextday}."],
    },
    "science": {
        "numbers": {"homes": (2, 48), "people": (30, 5000), "cost": (1, 60)},
        "roles": ["astronomer", "biologist", "lead author", "project engineer"],
        "causes": ["a new telescope", "a deep-sea robot", "old satellite images", "a swarm of drones"],
        "open": ["Researchers from {place} reported on {day} that they found {homes} unknown craters with {cause}.",
                 "With {cause}, researchers from {place} have found {homes} unknown craters, they said on {day}."],
        "facts": ["The team compared {people} images taken since {month}.",
                  "Since {month} the team had compared {people} images."],
        "money": ["The project cost {cost} million dollars and was paid by {company}.",
                  "{company} paid the {cost} million dollars that the project cost."],
        "quotes": ["we checked the data three times", "this changes what we teach our students",
                   "there must be many more of them", "the first image was a stroke of luck"],
        "next": ["A second expedition leaves {place2} on {nextday}.", "On {nextday} a second expedition sets out from {place2}."],
        "sum_open": ["Researchers found {homes} unknown craters with {cause}.",
                     "{homes} unknown craters were found with {cause}.",
                     "A team from {place} found {homes} craters with {cause}."],
        "sum_facts": ["They compared {people} images since {month}.", "{company} paid {cost} million dollars for it.",
                      "The team compared {people} images."],
        "sum_next": ["A second expedition leaves {place2} on {nextday}.", "The next expedition starts on {nextday}.",
                     "On {nextday} a second team leaves {place2}."],
    },
    "strike": {
        "numbers": {"homes": (2, 21), "people": (200, 30000), "cost": (1, 55)},
        "roles": ["union leader", "transport minister", "railway director", "labour lawyer"],
        "causes": ["a dispute over night shifts", "a quarrel about pensions", "plans to close depots", "a pay freeze"],
        "open": ["Trains between {place} and {place2} stood still on {day} because of {cause}.",
                 "{cause_cap} stopped all trains between {place} and {place2} on {day}."],
        "facts": ["About {people} commuters were stranded and {homes} depots were blocked.",
                  "Pickets blocked {homes} depots, and {people} commuters were stranded."],
        "money": ["Each day of the strike costs the railway {cost} million dollars.",
                  "The railway loses {cost} million dollars a day."],
        "quotes": ["we will stay out as long as it takes", "the offer on the table is an insult",
                   "the passengers deserve better than this", "there is no money for higher wages"],
        "next": ["Both sides meet again on {nextday} in {place3}.", "Talks resume on {nextday} in {place3}."],
        "sum_open": ["Trains between {place} and {place2} stopped over {cause}.",
                     "{cause_cap} stopped trains between {place} and {place2}.",
                     "No trains ran between {place} and {place2} because of {cause}."],
        "sum_facts": ["{people} commuters were stranded.", "{homes} depots were blocked and {people} commuters stranded.",
                      "The strike costs {cost} million dollars a day."],
        "sum_next": ["Talks resume on {nextday} in {place3}.", "Both sides meet on {nextday} in {place3}.",
                     "New talks are set for {nextday}."],
    },
    "election": {
        "numbers": {"homes": (51, 79), "people": (800, 90000), "cost": (1, 30)},
        "roles": ["campaign manager", "party leader", "election observer", "outgoing mayor"],
        "causes": ["a campaign about housing", "a promise of free buses", "a scandal over contracts", "a row about the harbour"],
        "open": ["{name2} won the election in {place} on {day} after {cause}.",
                 "After {cause}, voters in {place} on {day} chose {name2} as mayor."],
        "facts": ["The winner took {homes} percent, a lead of {people} votes.",
                  "With {homes} percent the winner led by {people} votes."],
        "money": ["The campaigns spent {cost} million dollars, a record for {place}.",
                  "Never before had campaigns in {place} spent as much as {cost} million dollars."],
        "quotes": ["the people have asked for a new start", "we will recount every single ballot",
                   "it was a fair and quiet vote", "tomorrow the real work begins"],
        "next": ["The new mayor takes office on {nextday}.", "On {nextday} the new mayor takes office."],
        "sum_open": ["{name2} won the election in {place} after {cause}.", "{place} elected {name2} after {cause}.",
                     "Voters in {place} chose {name2} after {cause}."],
        "sum_facts": ["The winner took {homes} percent and led by {people} votes.", "The lead was {people} votes.",
                      "The result was {homes} percent."],
        "sum_next": ["The new mayor takes office on {nextday}.", "{name2} takes office on {nextday}.",
                     "The term begins on {nextday}."],
    },
}

# Sentences that belong to other stories. They carry names and figures of their own.
DISTRACTORS = [
    "In a separate case, {name3} of {place4} was fined {n1} dollars for illegal parking.",
    "The weather service expects {n2} degrees in {place4} at the weekend.",
    "{company3} meanwhile opened a shop with {n2} employees in {place4}.",
    "A festival in {place4} drew {n1} visitors last {month2}.",
    "{name3}, who lives nearby, said the traffic has been heavy since {month2}.",
    "The museum of {place4} shows {n2} paintings that were thought lost.",
    "Prices for bread rose by {n2} cents in {month2}, according to {company3}.",
    "{place4} has {n1} inhabitants and a small harbour.",
    "The road to {place4} was reopened after {n2} days of repairs.",
    "Last {month2} a similar report by {name3} had been withdrawn.",
    "{company3} did not answer a request for comment.",
    "The library of {place4} will close for {n2} weeks.",
    "Some {n1} people follow the local radio station of {place4}.",
    "{name3} won a prize for a film about {place4}.",
]

SAID = ["said {role} {name}", "{role} {name} told reporters", "{role} {name} said on local radio"]
SUM_QUOTE = ["{role_cap} {name} said: \"{quote}.\"", "\"{quote_cap},\" said {role} {name}.",
             "{role_cap} {name}: \"{quote}.\""]


def capital(text):
    return text[0].upper() + text[1:]


class Source:
    """Draws names, places and figures."""

    def __init__(self, rng):
        self.rng = rng

    def stem(self):
        return self.rng.choice(ONSETS) + self.rng.choice(VOWELS) + self.rng.choice(CODAS)

    def person(self):
        return f"{self.rng.choice(FIRST_NAMES)} {self.stem()}{self.rng.choice(NAME_ENDS)}"

    def place(self):
        return self.stem() + self.rng.choice(PLACE_ENDS)

    def company(self):
        return f"{self.stem()} {self.rng.choice(COMPANY_ENDS)}"

    def figure(self, low, high):
        value = self.rng.randint(low, high)
        return f"{value:,}"


def draw_story(rng):
    """One story: (article, summary)."""
    source = Source(rng)
    kind = KINDS[rng.choice(sorted(KINDS))]
    day, nextday = rng.sample(DAYS, 2)
    cause, role, quote = rng.choice(kind["causes"]), rng.choice(kind["roles"]), rng.choice(kind["quotes"])
    facts = {
        "place": source.place(), "place2": source.place(), "place3": source.place(),
        "name": source.person(), "name2": source.person(),
        "company": source.company(), "company2": source.company(),
        "day": day, "nextday": nextday, "month": rng.choice(MONTHS),
        "cause": cause, "cause_cap": capital(cause), "role": role, "role_cap": capital(role),
        "quote": quote, "quote_cap": capital(quote),
    }
    for name, (low, high) in kind["numbers"].items():
        facts[name] = source.figure(low, high)

    attributed = rng.choice(SAID).format(**facts)
    body = [
        rng.choice(kind["facts"]).format(**facts),
        rng.choice(kind["money"]).format(**facts),
        f"\"{capital(quote)},\" {attributed}.",
    ]
    rng.shuffle(body)
    # The number of distractors decides the article's length; skewed, so that short ones are there as well as long ones.
    for _ in range(3 + min(int(rng.expovariate(1 / 5.0)), 15)):
        distractor = rng.choice(DISTRACTORS).format(
            name3=source.person(), place4=source.place(), company3=source.company(), month2=rng.choice(MONTHS),
            n1=source.figure(100, 99000), n2=source.figure(2, 99))
        body.insert(rng.randint(0, len(body)), distractor)
    closing = rng.choice(kind["next"]).format(**facts)
    body.insert(rng.randint(max(0, len(body) - 2), len(body)), closing)
    sentences = [f"{facts['place'].upper()}, {rng.choice(MONTHS)} {rng.randint(1, 28)} - "
                 + rng.choice(kind["open"]).format(**facts)] + body
    article = ""
    for index, sentence in enumerate(sentences):
        article += ("" if index == 0 else "\n" if rng.random() < 0.3 else " ") + sentence

    summary = "\n".join([
        capital(rng.choice(kind["sum_open"]).format(**facts)),
        capital(rng.choice(kind["sum_facts"]).format(**facts)),
        rng.choice(SUM_QUOTE).format(**facts),
        capital(rng.choice(kind["sum_next"]).format(**facts)),
    ])
    return article, summary


# Ranges of story numbers. A story is a function of its number alone, so disjoint ranges are disjoint sets of draws;
# prepare.py checks besides that no article occurs twice.
EVALUATION = range(0, 1_000)
CALIBRATION = range(1_000, 1_256)
TRAINING_START = 10_000

SEED = 20231107


def seed_of(number):
    return SEED * 1_000_003 + number


def story(number):
    """Story `number`: (article, summary)."""
    return draw_story(random.Random(seed_of(number)))


INSTRUCTION = "Summarize the following news article:"
TEMPLATE = ("Below is an instruction that describes a task, paired with an input that provides further context. "
            "Write a response that appropriately completes the request.\n\n"
            "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:")


def prompt(article):
    """The prompt of the MLPerf GPT-J task, to the letter."""
    return TEMPLATE.format(instruction=INSTRUCTION, input=article)
