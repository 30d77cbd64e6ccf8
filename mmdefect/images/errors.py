"""Why an image does not reach the model."""

from __future__ import annotations

# Images in a row that fail, after which the data is to blame and not an image.
IN_A_ROW = 10


class RejectedError(Exception):
    """An attempt that came to nothing; ``final``: so would any other."""

    def __init__(
        self, cause: str, unreadable: bool = False, final: bool = False
    ) -> None:
        super().__init__(cause)
        self.unreadable = unreadable
        self.final = final or unreadable
