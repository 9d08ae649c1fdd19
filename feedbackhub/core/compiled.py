"""Queries whose SQL is written once, for hot paths.

The ORM takes longer to write a small query than the database to answer it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from django.db import connection
from django.db.models import BigAutoField, Expression, Field, Model, QuerySet
from django.db.models.query import ModelIterable, get_related_populators
from django.db.models.sql.compiler import SQLCompiler


class Given(Expression):
    """Stands in a query for a value, an id unless `field` says otherwise, that comes when it is run."""

    def __init__(self, name: str, field: Field | None = None):
        super().__init__(output_field=field or BigAutoField())
        self.name = name

    def as_sql(self, compiler, connection):
        return "%s", [self]

    def prepared(self, values: dict) -> object:
        """The value as this database wants it."""
        return self.output_field.get_db_prep_value(values[self.name], connection)


class Compiled:
    """A queryset of instances (with select_related and annotations) or of values_list rows, that has Givens in it.

    `build` makes the queryset and is called once for each kind of database. Calling the Compiled runs the query with
    the values by name, and yields instances, or rows as tuples. What locks rows has to be called within a transaction.
    """

    def __init__(self, build: Callable[[], QuerySet]):
        self.build = build
        self.written: dict[str, tuple[str, list, Callable]] = {}

    def __call__(self, **values) -> Iterator:
        sql, parameters, read = self._written()
        with connection.cursor() as cursor:
            cursor.execute(sql, _prepared(parameters, values))
            rows = cursor.fetchall()
        return read(rows)

    def first(self, **values):
        """The first of them, or None."""
        return next(self(**values), None)

    def sql(self, **values) -> tuple[str, list]:
        """(SQL, its parameters), to be part of a longer statement."""
        sql, parameters, _ = self._written()
        return sql, _prepared(parameters, values)

    def _written(self) -> tuple[str, list, Callable]:
        if connection.vendor not in self.written:
            queryset = self.build()
            compiler = queryset.query.get_compiler(using=connection.alias)
            sql, parameters = _with_constants(*compiler.as_sql())
            make = _instance_maker(compiler) if queryset._iterable_class is ModelIterable else tuple
            self.written[connection.vendor] = sql, parameters, _reader(compiler, make)
        return self.written[connection.vendor]


def _with_constants(sql: str, parameters: Iterable) -> tuple[str, list]:
    """The same with all that is no Given written out: PostgreSQL plans a prepared statement without its parameters.

    Where `state = $1` is asked, an index of the open ones alone serves no plan that is made once for all.
    """
    parameters = list(parameters)
    if connection.vendor != "postgresql":
        return sql, parameters
    from psycopg.sql import Literal

    connection.ensure_connection()
    pieces = sql.split("%s")
    places = [
        "%s" if isinstance(one, Given) else Literal(one).as_string(connection.connection).replace("%", "%%")
        for one in parameters
    ]
    written = "".join(piece + place for piece, place in zip(pieces, [*places, ""], strict=True))
    return written, [one for one in parameters if isinstance(one, Given)]


def _prepared(parameters: Iterable, values: dict) -> list:
    return [one.prepared(values) if isinstance(one, Given) else one for one in parameters]


def _reader(compiler: SQLCompiler, make: Callable) -> Callable[[list[tuple]], Iterator]:
    """What QuerySet does with the rows that the database answers."""
    converters = compiler.get_converters([column for column, *_ in compiler.select[: compiler.col_count]])
    if not converters:
        return lambda rows: map(make, rows)
    return lambda rows: map(make, compiler.apply_converters(rows, converters))


def _instance_maker(compiler: SQLCompiler) -> Callable[[list], Model]:
    """What ModelIterable does with a row."""
    info, alias = compiler.klass_info, connection.alias
    start, end = info["select_fields"][0], info["select_fields"][-1] + 1
    names = [column.target.attname for column, *_ in compiler.select[start:end]]
    related = get_related_populators(info, compiler.select, alias)
    annotations = list(compiler.annotation_col_map.items())

    def instance(row: list) -> Model:
        made = info["model"].from_db(alias, names, row[start:end])
        for populator in related:
            populator.populate(row, made)
        for name, column in annotations:
            setattr(made, name, row[column])
        return made

    return instance


# --- Writing --------------------------------------------------------------------------------------------------------

ROWS = 100  # a statement


def insert(rows: Sequence[Model], *, or_ignore: bool = False, returning: str = "id") -> list:
    """INSERT new rows of one model; returns what the database answers for `returning`, a field's name.

    or_ignore: those that a unique constraint refuses are left out, of what is returned too. Else, rows get their ids.
    """
    found = []
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        sql, fields, answered = _insert_sql(type(part[0]), len(part), or_ignore, returning, connection.vendor)
        values = [field.get_db_prep_save(field.pre_save(row, True), connection) for row in part for field in fields]
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            found += [answered.to_python(value) for (value,) in cursor.fetchall()]
    if returning == "id" and len(found) == len(rows):
        for row, pk in zip(rows, found):
            row.pk, row._state.adding, row._state.db = pk, False, connection.alias
    return found


@cache
def _insert_sql(model: type[Model], count: int, or_ignore: bool, returning: str, vendor: str) -> tuple:
    fields = [field for field in model._meta.concrete_fields if not field.primary_key]
    quote = connection.ops.quote_name
    place = f"({', '.join(['%s'] * len(fields))})"
    sql = (
        f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(quote(field.column) for field in fields)}) "
        f"VALUES {', '.join([place] * count)}{' ON CONFLICT DO NOTHING' if or_ignore else ''} "
        f"RETURNING {quote(model._meta.get_field(returning).column)}"
    )
    return sql, fields, model._meta.get_field(returning)
