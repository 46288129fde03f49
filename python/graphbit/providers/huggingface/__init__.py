"""Hugging Face's inference providers, through huggingface_hub."""

from graphbit.providers.huggingface.client import Huggingface

__all__ = ["Huggingface"]
