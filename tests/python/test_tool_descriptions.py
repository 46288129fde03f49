"""What a tool is called and said to do: its docstring, its annotations, and the decorator's word over both."""

from __future__ import annotations

import functools
from typing import Annotated

import pytest
from graphbit.tools import bind_tools, parameters_schema, tool
from graphbit.tools.docstrings import parameter_descriptions
from hypothesis import given
from hypothesis import strategies as st
from tool_setup import Described


def test_descriptions_of_annotated_win() -> None:
    def function(a: Annotated[int, "From a string."], b: Annotated[str, Described()], c: int):
        """D.

        Args:
            a: From the docstring.
            c: Of c.
        """

    properties = parameters_schema(function)["properties"]
    assert [each["description"] for each in properties.values()] == [
        "From a string.",
        "From an object.",
        "Of c.",
    ]


GOOGLE = """Do it.

    Args:
        a: the a
        b (float): the b
        c : of c: with a colon
        d (Dict[str, int]): goes on
            in the next line,

            and after a blank one.
        e:
            all below
        *args: the rest
        f, g: of both

    Returns:
        nothing: at all
    """
NUMPY = """Do it.

    Parameters
    ----------
    a : int, optional
        The a,
        in two lines.
    b
        The b.
    c : str
    d, e : float
        Of both.

    Returns
    -------
    int
        z : not this
    """
SPHINX = """Do it.

    :param a: the a
    :param int b: the b,
        longer
    :type c: str
    :parameter c: the c
    :returns: nothing
        at : all
    """


def test_google_docstrings() -> None:
    assert parameter_descriptions(GOOGLE) == {
        "a": "the a", "b": "the b", "c": "of c: with a colon",
        "d": "goes on in the next line, and after a blank one.", "e": "all below",
        "args": "the rest", "f": "of both", "g": "of both",
    }  # fmt: skip
    for heading in ("Arguments:", "Parameters:"):
        assert parameter_descriptions(f"D.\n\n{heading}\n    a: x\n") == {"a": "x"}
    assert parameter_descriptions("D.\nArgs:\na: x\nb: y\nReturns:\nc: z") == {"a": "x", "b": "y"}


def test_numpy_docstrings() -> None:
    assert parameter_descriptions(NUMPY) == {
        "a": "The a, in two lines.", "b": "The b.", "c": "str", "d": "Of both.", "e": "Of both.",
    }  # fmt: skip


def test_sphinx_docstrings() -> None:
    assert parameter_descriptions(SPHINX) == {"a": "the a", "b": "the b, longer", "c": "the c"}


@given(st.text(alphabet="ab:() -\n\t*Args:Parameters—", max_size=200))
def test_no_docstring_is_too_odd(text: str) -> None:
    found = parameter_descriptions(text)
    assert all(name and description for name, description in found.items())


def test_the_description_is_the_docstring_as_it_is() -> None:
    def function():
        """One.

        Two.
        """

    assert bind_tools([function])[0].description == function.__doc__


def test_what_the_decorator_says_wins() -> None:
    @tool("Said.")
    def one():
        """Documented."""

    @tool(description="Named.", name="second", return_type="int")
    def two(): ...

    @tool
    def three():
        """Documented."""

    @tool()
    def four(): ...

    @tool(_description="By its old name.")
    def five(): ...

    def six():
        """ """

    bound = bind_tools([one, two, three, four, five, six])
    assert [(each.name, each.description) for each in bound] == [
        ("one", "Said."), ("second", "Named."), ("three", "Documented."),
        ("four", "Tool function"), ("five", "By its old name."), ("six", "Tool function"),
    ]  # fmt: skip


def test_the_decorator_changes_nothing() -> None:
    def function(x):
        return x

    before = dict(vars(function))
    assert tool("text")(function) is function
    assert tool(function) is function
    assert vars(function) == before
    with pytest.raises(TypeError):
        tool(3)
    with pytest.raises(TypeError):
        tool("text")(3)


def test_the_decorator_works_on_every_sort_of_callable() -> None:
    class Service:
        @tool(description="A method.", name="method")
        def one(self, x: int):
            return x

        @tool(description="A static one.")
        @staticmethod
        def two(x: int):
            return x

        @tool(description="A class's.")
        @classmethod
        def three(cls, x: int):
            return x

    class Equal:
        """All of these are equal."""

        __hash__ = None

        def __eq__(self, other):
            return True

        def __call__(self, x: int):
            return x

    first, second = tool("First.", name="first")(Equal()), tool("Second.", name="second")(Equal())
    service = Service()
    bound = bind_tools([service.one, service.two, service.three, first, second])
    assert [(each.name, each.description) for each in bound] == [
        ("method", "A method."), ("two", "A static one."), ("three", "A class's."),
        ("first", "First."), ("second", "Second."),
    ]  # fmt: skip
    assert [each.run('{"x": 4}') for each in bound] == [(True, "4")] * 5

    @functools.wraps(service.one)
    def wrapper(*args, **kwargs):
        return service.one(*args, **kwargs)

    [wrapped] = bind_tools([wrapper])
    assert (wrapped.name, list(wrapped.parameters["properties"])) == ("method", ["x"])


def test_what_was_said_goes_with_the_tool() -> None:
    from graphbit.tools import decorator

    before = len(decorator._remembered)
    made = [tool(f"Number {number}.")(lambda: None) for number in range(10)]
    assert len(decorator._remembered) == before + 10
    del made
    assert len(decorator._remembered) == before
