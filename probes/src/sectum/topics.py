"""Word lists -> distinct, everyday topics for the planted documents; a topic is no secret and no marker."""

from __future__ import annotations

from collections.abc import Callable


def _words(text: str) -> list[str]:
    return text.split()


_FIRST = _words(
    """
    amber antique autumn bamboo brass bronze canvas cedar ceramic charcoal clay coastal cobalt copper coral
    cotton crimson crystal desert eastern emerald enamel felt forest frozen garden glass golden granite harvest
    hemp highland hollow indigo iron island ivory jade lakeside lavender leather lemon linen lunar maple marble
    meadow midnight mint moorland mountain northern oak olive opal orange orchard paper pearl pepper pine
    plaster polar porcelain prairie quartz quilted river rubber rustic saffron salt sandstone scarlet silk
    silver slate solar southern spruce steel straw sunken timber tropical tundra turquoise umber velvet vintage
    violet walnut western wicker willow winter woollen
    """
)
_SECOND = _words(
    """
    accordion almond anchor antelope apricot archery bagpipe balloon banjo barley basil beehive beetle bicycle
    biscuit blanket buckwheat butterfly button cabbage camel candle canoe caramel carousel cello cherry chess
    chimney cinnamon clarinet clock coconut compass cricket cucumber curtain dolphin donkey dragonfly drum eagle
    elephant falcon feather fiddle flamingo flute fountain garlic ginger giraffe glacier goose grape guitar
    hammock harp hedgehog heron honey horseshoe iceberg jasmine jelly kayak kettle kite ladder lantern lentil
    lizard lobster mandolin mango marathon melon mitten monkey moss mushroom mustard nutmeg octopus onion organ
    ostrich otter oyster paddle panther parrot peacock pelican penguin piano pigeon pillow pizza pottery pumpkin
    puppet rabbit radish raven rhubarb rowing saddle salmon sausage saxophone scooter seal skating sledge
    spinach squirrel stork sugar surfing swan tapestry teapot tennis tiger tomato tortoise trombone trumpet
    tulip tuna turnip turtle umbrella vanilla violin walrus watermelon weasel whale windmill wolf yogurt zebra
    zither
    """
)
_THIRD = _words(
    """
    academy archive auction awards bakery bridge campaign caravan carnival catalogue ceremony championship choir
    circus club collection concert conference contest convoy cooperative council course depot derby dispatch
    election embassy emporium exchange exhibition expedition factory fair ferry festival fleet foundry gala
    gallery garage guild hospital hotel inquiry institute laboratory lawsuit league library lottery magazine
    market marina merger mission monument museum nursery observatory office opera orchestra outpost pageant
    parade parliament pavilion pharmacy pilgrimage plantation playground prison quarry railway rally ranch
    reservoir restaurant reunion rodeo sanctuary school seminar shipyard stadium store studio summit survey
    theatre tournament treaty tribunal tunnel vineyard voyage warehouse wedding workshop
    """
)


_ONSETS = (
    "b",
    "br",
    "d",
    "dr",
    "f",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kr",
    "m",
    "n",
    "p",
    "q",
    "r",
    "t",
    "thr",
    "v",
    "vl",
    "x",
    "z",
)
_VOWELS = ("a", "e", "i", "o", "u", "y")
_CODAS = ("b", "d", "f", "g", "j", "k", "lq", "m", "n", "p", "q", "r", "sk", "t", "v", "x", "xt", "z")
"""Of made-up words: rare letters on purpose, so that they lie far from words that people use."""

MOST = 5000
"""Topics that one call can draw at most; there are hardly more without two words in common."""
_TRIES_EACH = 100


def draw(count: int, *, below: Callable[[int], int]) -> list[str]:
    """`count` topics of three words such as 'copper kettle festival', distinct from each other.

    No two of one call share two of their words: a semantic cache must not take one for a paraphrase of the other.
    Raises ValueError for more than MOST, or if `below` yields the same again and again.
    """
    return _distinct(count, lambda: [words[below(len(words))] for words in (_FIRST, _SECOND, _THIRD)])


def draw_made_up(count: int, *, below: Callable[[int], int]) -> list[str]:
    """`count` topics of three words that no language has, such as 'zulqek vopxim tharj': nobody else asks about them.

    Raises ValueError as `draw` does.
    """

    def word() -> str:
        syllables = ([part[below(len(part))] for part in (_ONSETS, _VOWELS, _CODAS)] for _ in range(2 + below(2)))
        return "".join("".join(each) for each in syllables)

    return _distinct(count, lambda: [word(), word(), word()])


def _distinct(count: int, words: Callable[[], list[str]]) -> list[str]:
    if count > MOST:
        raise ValueError(f"at most {MOST} topics can be told apart")
    drawn: list[str] = []
    used: set[tuple[str, str]] = set()
    for _ in range(count * _TRIES_EACH):
        if len(drawn) == count:
            break
        topic = " ".join(words())
        pairs = _word_pairs(topic)
        if used.isdisjoint(pairs):
            drawn.append(topic)
            used |= set(pairs)
    if len(drawn) < count:
        raise ValueError("the source of randomness repeats itself")
    return drawn


def _word_pairs(topic: str) -> list[tuple[str, str]]:
    first, second, third = topic.split()
    return [(first, second), (second, third), (first, third)]
