"""A training run that is walked back: its steps are taken, kept as far as a plan goes, and gone through in reverse."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from whet.hypergrad.checkpointer import Action, Checkpointer, Move, Plan, Sizes
from whet.hypergrad.linear import Curvature, HyperGrads, Meter, ValGrad
from whet.hypergrad.problem import Batches, Bilevel
from whet.hypergrad.replay import Replay
from whet.hypergrad.states import Moment, States, state_bytes
from whet.hypergrad.tape import Place, Recorder, TapeSlots, tensors_in
from whet.hypergrad.tensors import Hyper, Weights, leaves, unflatten
from whet.hypergrad.updates.base import Part

__all__ = ["Walk"]

_OVERHEAD = 48 * 10**6
"""Bytes of code and of libraries' own buffers that a first run brings into memory."""
_PASSING = 11
"""Copies of the weights that come and go within a step, and the holes that they leave in memory."""
_PASSING_SLOTS = 6
"""The same of the optimizer's tensors, whose covectors come and go, too."""


@final
class Walk:
    """A run of a number of steps, and the way back through the last of them.

    Args:
        problem, hyper, batches: As a method is given them.
        start: Where the run starts; its tensors are left as they are.
        steps: T >= 1; the training batches are taken in turn.
    """

    def __init__(self, problem: Bilevel, hyper: Hyper, batches: Batches, start: Moment, steps: int) -> None:
        self.problem, self.batches, self.steps = problem, batches, steps
        self.hyper = unflatten({path: t.detach() for path, t in leaves(hyper).items()})
        self.meter, self.updates = Meter(), 0
        self.notes: tuple[str, ...] = ()
        self.found: HyperGrads = {}
        """The hypergradient, of what has been reached."""
        self.loss: Tensor
        """F at the end of the run."""
        self.end: Moment
        """Where the run ended."""
        self._begin = self._here = start
        self._random = Replay(start.weights)
        self._batch: Any = None
        self._place = Place()
        self._states: States | None = None
        self._kept: dict[int, Moment] = {}
        self._ahead: tuple[Moment, _Tape | None] | None = None
        self._tapes: dict[int, _Tape] = {}
        self._tape_slots: TapeSlots | None = None
        self._copying = False
        self._plan: Plan
        self._cot: Moment | None = None
        self._cot_weights: Weights = {}
        self._cot_slots: Mapping[str, Weights] = {}
        self._room: HyperGrads = {}

    def there_and_back(self, first: int, checkpoints: Checkpointer) -> None:
        """Take all steps, and go back to step `first`."""
        while self._here.step < first:
            self._here = self._moved(*self._untracked())
            if self._states is None:
                self._states = States(self._here, slots=1)
        self._begin = self._here = replace(self._here, slot=None)
        if self.steps - first == 1:
            if self._states is not None:
                self.end = self._states.apart(self.steps)
            self._back()
            return
        self._prepare(self.steps - first, checkpoints)
        for action in self._plan.actions():
            self._do(replace(action, step=action.step + first, to=action.to + first))
        again = self.updates - self.steps
        if again:
            self.notes = (f"to save memory, {again} updates were made again in a run of {self.steps}",)

    def close(self) -> None:
        """Free the graphs, and remove what was written to disk."""
        self._tapes.clear()
        if self._states is not None:
            self._states.close()

    # -- the plan -------------------------------------------------------------------------------------------------------

    def _prepare(self, count: int, checkpoints: Checkpointer) -> None:
        """Take the first step, so that it is known what a state and a graph take; make the plan and its memory."""
        self._states = None
        tape = None
        try:
            tape, grads, buffers = self._taped()
        except RuntimeError as error:
            if "saved tensor hooks" not in str(error):
                raise
            grads, buffers = self._untracked()  # the loss uses torch.func, whose graphs can't be recorded
        second = self._moved(grads, buffers)
        device = next(iter(second.weights.values())).device
        budget, size = self._agreed([checkpoints.budget(device), tape.size if tape else 0.0], device)
        sizes = self._sizes(second, int(size) if tape else None)
        self._plan = plan = checkpoints.plan(count, sizes, budget)
        folder = None if checkpoints.disk is False else Path(tempfile.gettempdir() if checkpoints.disk is True else checkpoints.disk)  # fmt: skip
        # Whatever lives long is made now, in one go; the holes that would be left between such tensors later can double the memory.
        self._states = States(second, slots=plan.in_memory + 2, folder=folder, on_disk=plan.kept - plan.in_memory)
        self._cot = self._states.take(self.steps)
        self.end = self._states.apart(self.steps)
        self._room = {
            path: torch.empty_like(t, memory_format=torch.contiguous_format) for path, t in leaves(self.hyper).items()
        }
        room = (sizes.tape or 0) + plan.with_grads * sizes.grads
        # What is left where it is leaves holes; where twice the memory is there, and mostly for graphs, that is no matter.
        self._copying = room < sizes.state or sizes.working + 2 * plan.segment * room > budget
        self._tape_slots = TapeSlots(plan.segment - 1 if self._copying else 0, room, device)
        self._ahead = (second, tape)

    def _sizes(self, moment: Moment, tape: int | None) -> Sizes:
        """Return what a state, a graph and the work take; of batches, the greatest counts."""
        batches = self.batches.train if isinstance(self.batches.train, list | tuple) else []
        first = max(_bytes(tensors_in(self._batch)), 1)
        widest = max([1.0, *(_bytes(tensors_in(b)) / first for b in batches[: self.steps])])
        state, weights, slots = state_bytes(moment), _bytes(moment.weights.values()), _bytes(moment.state.tensors())
        graphs = (tape or 0) * (2 * widest + max(1.0, _bytes(tensors_in(self.batches.val)) / first))
        passing = _PASSING * weights + _PASSING_SLOTS * slots
        work = (3 + (self._begin.step > 0)) * state + passing + _bytes(leaves(self.hyper).values()) + graphs
        return Sizes(
            state=state, tape=None if tape is None else int(tape * widest), working=int(work) + _OVERHEAD,
            grads=weights if self.problem.update.reads_grads else 0,
        )  # fmt: skip

    def _agreed(self, numbers: list[float], device: torch.device) -> list[float]:
        """Return the mean over processes, which must make the same plan, as they wait for each other at each step."""
        if self.problem.reduce is None:
            return numbers
        together = torch.tensor(numbers, dtype=torch.float64, device=device)
        self.problem.reduce([together])
        return [float(number) for number in together]

    # -- the actions ----------------------------------------------------------------------------------------------------

    def _do(self, action: Action) -> None:
        if action.move is Move.RUN:
            self._go(action.step)
            while self._here.step < action.to:
                self._here = self._next(taped=action.taped)
        elif action.move is Move.KEEP:
            self._keep()
        elif action.move is Move.BACK:
            self._go(action.step)
            self._back()
        elif (moment := self._kept.pop(action.step, None)) is None:
            self._slots.forget(action.step)
        elif moment is not self._here:
            self._slots.free(moment)

    def _go(self, step: int) -> None:
        """Stand before a step whose state is kept, or where we are."""
        if self._here.step == step:
            return
        if self._is_scratch(self._here):
            self._slots.free(self._here)
        if step == self._begin.step:
            self._here = self._begin
        else:
            self._here = self._kept.get(step) or self._slots.load(
                step, self._begin.state.step + step - self._begin.step
            )

    def _next(self, *, taped: bool) -> Moment:
        """Return the moment after the step before which we stand."""
        step = self._here.step
        if self._ahead is not None:
            (moment, tape), self._ahead = self._ahead, None
            if taped and tape is not None:
                self._tapes[step] = tape if self._plan.with_grads else replace(tape, grads={})
            return moment
        if step in self._tapes:
            return self._moved(self._grads_of(self._tapes[step]), self._here.state.buffers)
        if not taped:
            return self._moved(*self._untracked())
        self._tapes[step], grads, buffers = self._taped()
        return self._moved(grads, buffers)

    def _keep(self) -> None:
        here = self._here if self._here.slot is not None else self._slots.copy(self._here)
        if len(self._kept) < self._plan.in_memory:
            self._kept[here.step] = here
        else:
            self._slots.save(here)
        self._here = here

    def _back(self) -> None:
        """Send the covector back through the step before which we stand; from the last step, take it first."""
        here = self._here
        tape = self._tapes.pop(here.step, None)
        if tape is None:
            curvature, buffers = self._gradient(track=True)
            if here.step == self.steps - 1:
                self._finish(curvature, buffers)
        else:
            curvature = tape.curvature
            if self.problem.update.reads_grads:
                curvature.grads = dict(self._grads_of(tape))
        self._place.weights = here.weights
        self._through(curvature, here)
        if tape is not None and self._tape_slots is not None:
            self._tape_slots.give(tape.slot)

    def _finish(self, curvature: Curvature, buffers: Mapping[str, Tensor]) -> None:
        """Make the last update, and look at the validation loss."""
        if self._states is None:
            self.end = _apart(self._moved(curvature.grads, buffers), self._here)
        else:
            self.end = self._moved(curvature.grads, buffers, self._states.fill(self.end, self._here))
        if not self.problem.update.reads_grads:
            curvature.grads = {}
        copies = {n: t.clone() for n, t in buffers.items()}
        val = ValGrad(self.problem, self.end.weights, self.hyper, self.batches.val, buffers=copies, meter=self.meter)
        self.loss, self._cot_weights = val.loss, val.weights
        self._add(val.hyper)

    def _through(self, curvature: Curvature, here: Moment) -> None:
        grads = curvature.grads if self.problem.update.reads_grads else here.weights  # which are of their shapes
        first = here.step == self._begin.step
        through = self.problem.update.vjp(
            here.weights, grads, here.state, self.hyper, self._cot_weights, self._cot_slots, lean=True,
            parts=Part.HYPER if first else Part.ALL,
        )  # fmt: skip
        q = through.grads
        products, cross = curvature.vjp(q, weights=not first, retain=False, penalties=False)
        self._add(cross)
        self._add(through.hyper)
        for penalty in self.problem.penalties:
            penalty.add_hvp_(products, q, self.hyper)
            if here.step == self.steps - 1:
                self._add(penalty.cross(here.weights, self.hyper, q))  # into memory that was set apart for it
            else:
                penalty.add_cross_(self.found, here.weights, self.hyper, q)
        if first:
            return
        assert self._cot is not None
        for slot, group in self._cot.state.slots.items():
            for name, tensor in group.items():
                _put(tensor, through.slots[slot][name])
        for name, product in products.items():
            factor, out = through.factors.get(name, 1.0), self._cot.weights[name]
            if isinstance(factor, Tensor):
                torch.addcmul(product, through.weights[name], factor, out=out)
            else:
                torch.add(product, through.weights[name], alpha=factor, out=out)
        self._cot_weights, self._cot_slots = self._cot.weights, self._cot.state.slots

    def _add(self, found: HyperGrads) -> None:
        for path, tensor in found.items():
            if path in self.found:
                self.found[path].add_(tensor.to(self.found[path].device))
            elif path in self._room:
                self.found[path] = self._room.pop(path).copy_(tensor)
            else:
                self.found[path] = tensor.clone()

    # -- steps ----------------------------------------------------------------------------------------------------------

    def _gradient(self, *, track: bool, recorder: Recorder | None = None) -> tuple[Curvature, dict[str, Tensor]]:
        here = self._here
        self._place.weights = here.weights
        buffers = here.state.own_buffers()
        with self._random.at(here.step), recorder.recording() if recorder else contextlib.nullcontext():
            # Looked at once a run of the step, and where its random numbers are drawn: looking may load and augment.
            self._batch = self.batches.train[here.step % len(self.batches.train)]
            if recorder:
                recorder.know(tensors_in(self._batch))
            curvature = Curvature(
                self.problem, here.weights, self.hyper, self._batch, buffers=buffers,
                meter=self.meter, track=track, again=recorder is not None, whole=False,
            )  # fmt: skip
        curvature.grads = self._completed(curvature, curvature.grads, apart=track and recorder is None)
        return curvature, buffers

    def _completed(self, curvature: Curvature, bare: Weights, *, apart: bool) -> dict[str, Tensor]:
        """Return ∇f of the bare loss's gradient; in the same memory, unless that is somebody's or is to be left as it is (`apart`)."""
        if not self.problem.penalties and not self.problem.reduce:
            return dict(bare)
        others = [*self._here.weights.values(), *leaves(self.hyper).values(), *tensors_in(self._batch)]
        taken = {t.untyped_storage().data_ptr() for t in others}
        grads: dict[str, Tensor] = {}
        for name, grad in bare.items():
            memory = grad.untyped_storage().data_ptr()
            mine = not apart and memory not in taken and (0 not in grad.stride() or grad.numel() == 1)
            grads[name] = grad if mine else grad.clone(memory_format=torch.contiguous_format)
            taken.add(memory)
        curvature.values = self._here.weights
        curvature.complete_(grads)
        return grads

    def _untracked(self) -> tuple[Weights, dict[str, Tensor]]:
        curvature, buffers = self._gradient(track=False)
        return curvature.grads, buffers

    def _taped(self) -> tuple[_Tape, Weights, dict[str, Tensor]]:
        """Return the graph of the step before which we stand, its gradient, and the buffers after it."""
        slot, room = self._tape_slots.take() if self._tape_slots else (None, None)
        recorder = Recorder(self._here.weights, leaves(self.hyper).values(), self._place, room, copies=self._copying)
        curvature, buffers = self._gradient(track=True, recorder=recorder)
        grads, curvature.grads = curvature.grads, {}
        kept: Weights = {}
        if self._tape_slots is None:
            kept = grads
        elif self._plan.with_grads:
            kept = recorder.moved(grads)
        tape = _Tape(curvature=curvature, batch=self._batch, slot=slot, grads=kept, size=recorder.bytes)
        return tape, grads, buffers

    def _grads_of(self, tape: _Tape) -> Weights:
        if tape.grads:
            return tape.grads
        self._place.weights, self._batch = self._here.weights, tape.batch
        return self._completed(tape.curvature, tape.curvature.regrad(), apart=False)

    def _moved(self, grads: Weights, buffers: Mapping[str, Tensor], target: Moment | None = None) -> Moment:
        """Return the moment after the update, in `target`, which has the moment before it, or in the same slot, if that is not kept."""
        here, update = self._here, self.problem.update
        self.updates += 1
        with torch.no_grad():
            if self._states is None:
                new, state = update(here.weights, grads, here.state, self.hyper)
                return Moment(step=here.step + 1, weights=new, state=replace(state, buffers=buffers))
            if target is None:
                target = here if self._is_scratch(here) else self._states.copy(here)
            memory = {w.untyped_storage().data_ptr() for w in target.weights.values()}
            grads = {n: g.clone() if g.untyped_storage().data_ptr() in memory else g for n, g in grads.items()}
            return self._states.settle(target, update.step_(target.weights, grads, target.state, self.hyper), buffers)

    def _is_scratch(self, moment: Moment) -> bool:
        return moment.slot is not None and self._kept.get(moment.step) is not moment

    @property
    def _slots(self) -> States:
        assert self._states is not None
        return self._states


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Tape:
    """The graph of one step: its batch, its bytes, the slot it lies in, and the gradient, if it is kept."""

    curvature: Curvature
    batch: Any
    slot: int | None
    grads: Weights
    size: int


def _apart(moment: Moment, other: Moment) -> Moment:
    """Return `moment` with copies of what it shares with `other`."""
    taken = {t.untyped_storage().data_ptr() for t in [*other.weights.values(), *other.state.tensors()]}

    def own(t: Tensor) -> Tensor:
        return t.clone() if t.untyped_storage().data_ptr() in taken else t

    state = moment.state.with_tensors([own(t) for t in moment.state.tensors()])
    return replace(moment, weights={n: own(t) for n, t in moment.weights.items()}, state=state)


def _put(target: Tensor, source: Tensor) -> None:
    if target.data_ptr() != source.data_ptr():
        target.copy_(source)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
