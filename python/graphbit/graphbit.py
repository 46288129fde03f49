"""The native module under the name it has in GraphBit: `from graphbit.graphbit import LlmClient`."""

from graphbit._graphbit import *  # noqa: F403
