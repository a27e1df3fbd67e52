"""Warnings of plans and comparisons."""

from pydantic import BaseModel, Field


class WarningView(BaseModel):
    code: str = Field(
        description="Stable code of the warning, for use in programs, such as `few_holdout_items`."
    )
    message: str = Field(description="Explanation for people.")
