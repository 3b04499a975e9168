"""What the blueprints work with: the service's two halves, the pump, what measures. Made once, in `app.py`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from flask import current_app

from wattle.errors import Unavailable
from wattle.metrics.sampler import Sampler

if TYPE_CHECKING:
    from wattle.api.pump import Pump
    from wattle.metrics.prometheus import Exposition
    from wattle.service.changing import Changing
    from wattle.service.reading import Reading


@dataclass(frozen=True, slots=True)
class Rooms:
    reading: "Reading"
    pump: "Pump"
    sampler: Sampler = field(default_factory=Sampler)
    changes: "Changing | None" = None
    exposition: "Exposition | None" = None

    @property
    def changing(self) -> "Changing":
        """Unavailable `NO_SERVER` where this process only reads."""
        if self.changes is None:
            raise Unavailable("NO_SERVER", "Nothing can be changed here: no Wattle server runs; start `wattle serve`")
        return self.changes


def rooms() -> Rooms:
    """Of the app that serves the present request."""
    return cast(Rooms, current_app.extensions["wattle"])
