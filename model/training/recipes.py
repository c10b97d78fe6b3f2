"""The recipes that a command or page can name."""

from __future__ import annotations

from model.errors import ModelError
from model.training.original import Original, plain_recipe
from model.training.quick import Quick
from model.training.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (Quick(), Original(), plain_recipe())
}


def recipe_named(name: str) -> Recipe:
    """Return the recipe of this name; raises `ModelError` where there is none."""
    if name not in RECIPES:
        raise ModelError(f"There is no recipe {name}; choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]
