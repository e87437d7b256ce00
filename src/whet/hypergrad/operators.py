"""What stands where a number or a tensor is expected: arithmetic, comparisons and the functions of torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor

__all__ = ["TensorLike"]


class TensorLike(ABC):
    """An object that torch takes for the tensor that `tensor` returns, with its graph."""

    @abstractmethod
    def tensor(self) -> Tensor:
        """Return the tensor."""

    @classmethod
    def __torch_function__(cls, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*_unwrapped(args), **_unwrapped(kwargs or {}))

    def item(self) -> float:
        """Return the number that it is."""
        return float(self.tensor().detach())

    def __float__(self) -> float:
        return self.item()

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __eq__(self, other: object) -> Any:
        return self.tensor() == other

    def __ne__(self, other: object) -> Any:
        same = self == other
        return ~same if isinstance(same, Tensor) else not same

    __hash__ = object.__hash__

    def __neg__(self) -> Tensor:
        return -self.tensor()

    def __abs__(self) -> Tensor:
        return abs(self.tensor())

    def __add__(self, other: Any) -> Tensor:
        return self.tensor() + other

    def __radd__(self, other: Any) -> Tensor:
        return other + self.tensor()

    def __sub__(self, other: Any) -> Tensor:
        return self.tensor() - other

    def __rsub__(self, other: Any) -> Tensor:
        return other - self.tensor()

    def __mul__(self, other: Any) -> Tensor:
        return self.tensor() * other

    def __rmul__(self, other: Any) -> Tensor:
        return other * self.tensor()

    def __truediv__(self, other: Any) -> Tensor:
        return self.tensor() / other

    def __rtruediv__(self, other: Any) -> Tensor:
        return other / self.tensor()

    def __pow__(self, other: Any) -> Tensor:
        return self.tensor() ** other

    def __rpow__(self, other: Any) -> Tensor:
        return other ** self.tensor()

    def __matmul__(self, other: Any) -> Tensor:
        return self.tensor() @ other

    def __lt__(self, other: Any) -> Tensor:
        return self.tensor() < other

    def __le__(self, other: Any) -> Tensor:
        return self.tensor() <= other

    def __gt__(self, other: Any) -> Tensor:
        return self.tensor() > other

    def __ge__(self, other: Any) -> Tensor:
        return self.tensor() >= other


def _unwrapped(value: Any) -> Any:
    """Return `value` with the tensors of everything tensor-like in it."""
    if isinstance(value, TensorLike):
        return value.tensor()
    if isinstance(value, list | tuple):
        return type(value)(map(_unwrapped, value)) if type(value) in (list, tuple) else value
    return {key: _unwrapped(inner) for key, inner in value.items()} if type(value) is dict else value
