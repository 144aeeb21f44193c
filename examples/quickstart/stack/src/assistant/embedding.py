"""Turn questions and documents into unit vectors of 256 numbers with the static model inside the wordllama package."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import wordllama
from wordllama import WordLlama

DIMENSIONS = 256

Vector = npt.NDArray[np.float32]

WORD = re.compile(r"\w+(?:-\w+)*")
# Words that say how a question is put and not what it is about. A static model averages its words, so that without
# them two ways to put one question are nearly the same vector, and two questions on different matters are not.
STOP_WORDS = frozenset(
    """
    a about an and any are as at be been by can could did do does find for from get give had has have how i in into
    is it its know let like me my need of on or our please s shall should show so tell than that the their them then
    there these they this those to up us want was we were what when where which who whom whose why will with would
    you your
    """.split()  # noqa: SIM905 - a list would be a page long
)


class Embedder:
    """The model, loaded once; safe to use from several threads."""

    def __init__(self) -> None:
        # Named as cache, the package's own folder is where all files are found: nothing is ever downloaded.
        self._model = WordLlama.load(dim=DIMENSIONS, cache_dir=Path(wordllama.__file__).parent, disable_download=True)

    def question(self, text: str) -> Vector:
        vector: Vector = self.texts([text])[0]
        return vector

    def document(self, title: str, body: str) -> Vector:
        """Weigh the title as much as the whole body: codes and numbers there carry no meaning for the model."""
        both: Vector = self.texts([title, body]).sum(axis=0)
        length = float(np.linalg.norm(both))
        return both / length if length > 0 else both

    def texts(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Return one unit vector a row."""
        vectors: npt.NDArray[np.float32] = self._model.embed([_content_words(text) for text in texts])
        lengths: npt.NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)
        lengths[lengths == 0] = 1
        return vectors / lengths


def _content_words(text: str) -> str:
    words = [word for word in WORD.findall(text.lower()) if word not in STOP_WORDS]
    return " ".join(words) or text
