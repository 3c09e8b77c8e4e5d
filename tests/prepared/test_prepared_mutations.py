"""The conformance suite can fail: each fault planted in prepared memories is caught."""

from __future__ import annotations

import numpy as np
import pytest
from planting import MUTANTS, Mutant, core, everywhere, mutant

KNOWN = len(MUTANTS)


@mutant("bounds of scores that are too small by what may be left out", "R1 R3")
def bounds_too_small(patch):
    def wrong(right):
        def not_excluded(memory, bounds, centred, size, cold, gap, most):
            return right(memory, bounds, centred, size, cold, 0.0 * gap, most)

        return not_excluded

    everywhere(patch, "prepared._excluded", "not_excluded", wrong)


@mutant("a certificate that forgets what was left out", "R1")
def forgotten_tail(patch):
    def wrong(right):
        def answer(memory, found, gap):
            return right(memory, found, gap + 50.0)

        return answer

    everywhere(patch, "prepared._partial", "softmax_answer", wrong)


@mutant("scores with all patterns of which the last one is of another part", "R1")
def stale_part(patch):
    kind = core("prepared._whole").Asked
    right = kind.scores

    def wrong(self, rows, patterns):
        scores, own = right(self, rows, patterns)
        return scores, None if own is None else np.roll(own, 1, axis=0)

    patch.setattr(kind, "scores", wrong)


@mutant("the spread of the first values after others were added", "R1")
def stale_spread(patch):
    module = core("prepared._rows")
    right = module.appended

    def wrong(snapshot, new):
        found = right(snapshot, new)
        if found is None or not snapshot.count:
            return found
        fields = {name: getattr(found, name) for name in found.__dataclass_fields__}
        return type(found)(**fields | {"spreads": snapshot.spreads})

    patch.setattr(core("prepared._growing"), "appended", wrong)


@mutant("a sketch that still knows removed patterns", "R.changes")
def removed_remain(patch):
    def wrong(right):
        def survivors(memory, *given):
            return right(type(memory)(**vars(memory) | {"dead": None}), *given)

        return survivors

    everywhere(patch, "prepared._survivors", "survivors", wrong)


@mutant("removal that readers of an older state see", "R.changes")
def seen_by_all(patch):
    kind = core("prepared._growing").Growing

    def wrong(self, places):
        self._snapshot.rows.patterns[places] = 0.0
        self._snapshot.rows.died[places] = self._snapshot.version + 1

    patch.setattr(kind, "_bury", wrong)


@mutant("half of the reach of a sparse separation function", "R2")
def half_reach(patch):
    def wrong(right):
        def gap_of(separation, memory, error):
            found = right(separation, memory, error)
            return found if separation.softmax else 0.02 * found

        return gap_of

    everywhere(patch, "prepared._partial", "gap_of", wrong)


@mutant("a threshold at the share itself, without a rank for the further query", "R4")
def lower_rank(patch):
    def wrong(right):
        def calibrated(*given):
            found = right(*given)
            return found._replace(threshold=0.9 * found.threshold)

        return calibrated

    everywhere(patch, "prepared._calibration", "calibrated", wrong)


@mutant("clusters that count as one pattern", "R5")
def without_sizes(patch):
    def wrong(right):
        def merged_rows(*given):
            new, *rest = right(*given)
            return type(new)(new.patterns, new.values, 0.0 * new.bias, new.keys), *rest

        return merged_rows

    everywhere(patch, "prepared._compaction", "merged_rows", wrong)


@mutant("the mean of other patterns kept with the memory", "R.plain")
def wrong_origin(patch):
    def wrong(right):
        return lambda snapshot, states, where: right(snapshot, states, where) + 1.0

    everywhere(patch, "prepared._parts", "origin_of", wrong)


@mutant("one pattern of zeros for a memory without any", "R.empty")
def zeros_for_nothing(patch):
    def wrong(right):
        def of_empty(snapshot, function, arguments):
            arguments["stored"] = np.zeros((1, snapshot.shape[1]), snapshot.dtype)
            return function(**arguments)

        return of_empty

    everywhere(patch, "prepared._calls", "of_empty", wrong)


@mutant("rows of a file that are read together, in the place of those needed", "R6")
def neighbours_of_rows(patch):
    def wrong(right):
        def gathered(read, rows, apart, chunk=1):
            return right(read, rows[:1] + np.arange(len(rows)), apart, chunk)

        return gathered

    everywhere(patch, "streamed._gather", "gathered", wrong)


@mutant("all rows of a file where few are enough", "R6")
def whole_file(patch):
    kind = core("prepared._file_rows").FileRows
    right = kind.taken

    def wrong(self, rows):
        self.streamed.source.read(0, len(self))
        return right(self, rows)

    patch.setattr(kind, "taken", wrong)


@pytest.mark.parametrize("fault", MUTANTS[KNOWN:], ids=lambda fault: fault.name)
def test_faults_are_caught(fault: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    fault.must_be_caught(monkeypatch)
