"""A small set of plain facts. Lookups forgive one mis-heard letter or two, not more."""

from difflib import get_close_matches

from offline_responder.domain.text import after, has, has_all

Words = tuple[str, ...]

CAPITALS = {
    "argentina": "Buenos Aires",
    "australia": "Canberra",
    "austria": "Vienna",
    "bangladesh": "Dhaka",
    "belgium": "Brussels",
    "brazil": "Brasilia",
    "britain": "London",
    "bulgaria": "Sofia",
    "canada": "Ottawa",
    "chile": "Santiago",
    "china": "Beijing",
    "colombia": "Bogota",
    "croatia": "Zagreb",
    "cuba": "Havana",
    "denmark": "Copenhagen",
    "egypt": "Cairo",
    "england": "London",
    "estonia": "Tallinn",
    "ethiopia": "Addis Ababa",
    "finland": "Helsinki",
    "france": "Paris",
    "germany": "Berlin",
    "ghana": "Accra",
    "greece": "Athens",
    "hungary": "Budapest",
    "iceland": "Reykjavik",
    "india": "New Delhi",
    "indonesia": "Jakarta",
    "iran": "Tehran",
    "iraq": "Baghdad",
    "ireland": "Dublin",
    "italy": "Rome",
    "jamaica": "Kingston",
    "japan": "Tokyo",
    "kenya": "Nairobi",
    "latvia": "Riga",
    "lithuania": "Vilnius",
    "malaysia": "Kuala Lumpur",
    "mexico": "Mexico City",
    "morocco": "Rabat",
    "nepal": "Kathmandu",
    "netherlands": "Amsterdam",
    "holland": "Amsterdam",
    "new zealand": "Wellington",
    "nigeria": "Abuja",
    "norway": "Oslo",
    "pakistan": "Islamabad",
    "peru": "Lima",
    "philippines": "Manila",
    "poland": "Warsaw",
    "portugal": "Lisbon",
    "romania": "Bucharest",
    "russia": "Moscow",
    "scotland": "Edinburgh",
    "serbia": "Belgrade",
    "slovakia": "Bratislava",
    "slovenia": "Ljubljana",
    "south korea": "Seoul",
    "spain": "Madrid",
    "sweden": "Stockholm",
    "switzerland": "Bern",
    "thailand": "Bangkok",
    "turkey": "Ankara",
    "ukraine": "Kyiv",
    "united kingdom": "London",
    "united states": "Washington",
    "america": "Washington",
    "usa": "Washington",
    "vietnam": "Hanoi",
    "wales": "Cardiff",
}
_WITH_ARTICLE = {"netherlands", "philippines", "united kingdom", "united states", "usa"}
_COUNTRY_OF = {capital.lower(): country for country, capital in reversed(CAPITALS.items())}

# Alternatives of words that must all occur, and the sentence. The first that fits answers: narrow ones come first.
FACTS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("days leap year",), "A leap year has three hundred and sixty six days."),
    (("days year",), "A year has three hundred and sixty five days, and a leap year one more."),
    (("weeks year",), "A year has fifty two weeks and a day."),
    (("months year",), "A year has twelve months."),
    (("hours day",), "A day has twenty four hours."),
    (("minutes hour",), "An hour has sixty minutes."),
    (("seconds minute",), "A minute has sixty seconds."),
    (("seconds hour",), "An hour has three thousand six hundred seconds."),
    (("minutes day",), "A day has one thousand four hundred and forty minutes."),
    (("seconds day",), "A day has eighty six thousand four hundred seconds."),
    (("days week",), "A week has seven days."),
    (("days february",), "February has twenty eight days, and twenty nine in a leap year."),
    (
        ("water boil", "water boils", "boiling point"),
        "At sea level water boils at one hundred degrees Celsius, which is two hundred and twelve Fahrenheit.",
    ),
    (
        ("water freeze", "water freezes", "freezing point"),
        "Water freezes at zero degrees Celsius, which is thirty two Fahrenheit.",
    ),
    (("speed light", "fast light"), "Light travels at about three hundred thousand kilometres per second."),
    (("speed sound", "fast sound"), "Sound travels at about three hundred and forty metres per second in air."),
    (("many planets",), "Eight planets go around the sun."),
    (("largest planet", "biggest planet"), "Jupiter is the largest planet of our solar system."),
    (("smallest planet",), "Mercury is the smallest planet of our solar system."),
    (("closest planet sun", "nearest planet sun"), "Mercury is the planet closest to the sun."),
    (("red planet",), "Mars is called the red planet."),
    (("far moon", "distance moon"), "The moon is about three hundred and eighty four thousand kilometres away."),
    (("far sun", "distance sun"), "The sun is about one hundred and fifty million kilometres away."),
    (
        ("first moon", "walk moon", "walked moon"),
        "Neil Armstrong was the first person on the moon, in July nineteen sixty nine.",
    ),
    (
        ("highest mountain", "tallest mountain"),
        "Mount Everest is the highest mountain, at about eight thousand eight hundred and forty nine metres.",
    ),
    (
        ("longest river",),
        "The Nile and the Amazon are the longest rivers. Which of the two is longer depends on who measures.",
    ),
    (("largest ocean", "biggest ocean"), "The Pacific is the largest ocean."),
    (("many oceans",), "Most people count five oceans."),
    (("many continents",), "There are seven continents."),
    (("largest country", "biggest country"), "Russia is the largest country by area."),
    (("largest animal", "biggest animal"), "The blue whale is the largest animal that has ever lived."),
    (("fastest animal",), "The peregrine falcon is the fastest animal when it dives. On land it is the cheetah."),
    (("tallest animal",), "The giraffe is the tallest animal."),
    (("bones body", "bones human"), "A grown person has two hundred and six bones."),
    (("legs spider",), "A spider has eight legs."),
    (("legs insect", "legs ant", "legs bee"), "An insect has six legs."),
    (("legs cat", "legs dog", "legs horse"), "It has four legs."),
    (("color sky", "colour sky", "sky blue"), "The sky is blue by day because air scatters blue light more than red."),
    (("formula water", "water made"), "Water is two parts hydrogen and one part oxygen."),
    (("symbol gold",), "The symbol for gold is A, U."),
    (("value pi", "what pi", "number pi"), "Pi is about three point one four one five nine."),
    (("letters alphabet",), "The English alphabet has twenty six letters."),
    (("wrote hamlet", "wrote romeo", "wrote macbeth"), "William Shakespeare wrote it."),
    (("painted mona", "mona lisa"), "Leonardo da Vinci painted the Mona Lisa."),
    (("theory relativity",), "Albert Einstein published the theory of relativity."),
    (
        ("invented telephone",),
        "Alexander Graham Bell holds the first patent on the telephone, from eighteen seventy six.",
    ),
    (("inches foot",), "A foot has twelve inches."),
    (("feet mile",), "A mile has five thousand two hundred and eighty feet."),
    (("kilometers mile", "kilometres mile"), "A mile is about one point six kilometres."),
    (("meters kilometer", "metres kilometre"), "A kilometre has one thousand metres."),
    (("sides triangle",), "A triangle has three sides."),
    (("sides square",), "A square has four sides."),
    (("sides hexagon",), "A hexagon has six sides."),
    (("sides octagon",), "An octagon has eight sides."),
)


def find_fact(words: Words) -> str | None:
    """A sentence that answers a question about a known fact, or None."""
    return _capital_of_what(words) or _capital(words) or _plain(words)


def _plain(words: Words) -> str | None:
    for alternatives, text in FACTS:
        if any(has_all(words, *wanted.split()) for wanted in alternatives):
            return text
    return None


def _capital(words: Words) -> str | None:
    rest = after(words, "capital of", "capitol of", "capital city of")
    if rest is None and has(words, "capital", "capitol"):
        rest = tuple(
            word
            for word in words
            if len(word) > 3 and word not in {"capital", "capitol", "what", "which", "tell", "city"}
        )
    if not rest:
        return None
    country = _country(rest)
    if country is None:
        return "I know about seventy capitals, and not that one." if after(words, "capital of", "capitol of") else None
    name = " ".join(part.capitalize() for part in country.split()) if country != "usa" else "United States"
    return f"The capital of {'the ' if country in _WITH_ARTICLE else ''}{name} is {CAPITALS[country]}."


def _country(rest: Words) -> str | None:
    words = tuple(word for word in rest if word not in {"the", "of", "a"})
    for length in (2, 1):
        for start in range(len(words) - length + 1):
            said = " ".join(words[start : start + length])
            if said in CAPITALS:
                return said
    for word in words:
        close = get_close_matches(word, CAPITALS, n=1, cutoff=0.8)
        if close:
            return close[0]
    return None


def _capital_of_what(words: Words) -> str | None:
    if not has(words, "where is", "which country is", "what country is", "country"):
        return None
    for capital, country in _COUNTRY_OF.items():
        if has(words, capital):
            name = " ".join(part.capitalize() for part in country.split())
            return f"{CAPITALS[country]} is the capital of {'the ' if country in _WITH_ARTICLE else ''}{name}."
    return None
