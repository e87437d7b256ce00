"""Differentiable weight updates, equal to their `torch.optim` namesakes. One update a file."""

from whet.hypergrad.updates.adagrad import Adagrad
from whet.hypergrad.updates.adam import Adam
from whet.hypergrad.updates.adamw import AdamW
from whet.hypergrad.updates.base import State, Update
from whet.hypergrad.updates.clipped import Clipped
from whet.hypergrad.updates.groups import Groups
from whet.hypergrad.updates.rmsprop import RMSprop
from whet.hypergrad.updates.scheduled import Scheduled
from whet.hypergrad.updates.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Clipped", "Groups", "RMSprop", "Scheduled", "State", "Update"]
