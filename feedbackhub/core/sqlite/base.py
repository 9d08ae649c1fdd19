"""Django's SQLite, with the threads of a process taking turns at writing.

SQLite has one writer. Whoever else wants to write sleeps and looks again, at last every tenth of a second, and may be
passed by others for seconds. Within a process those who wait are let in as soon as the one before has ended.
"""

import os
import threading

from django.db.backends.sqlite3 import base
from django.db.utils import OperationalError

_turn = threading.Lock()


def _new_turn() -> None:
    global _turn
    _turn = threading.Lock()


os.register_at_fork(after_in_child=_new_turn)


class DatabaseWrapper(base.DatabaseWrapper):
    held = None  # our turn, while a transaction lasts

    def _start_transaction_under_autocommit(self) -> None:
        turn = _turn
        if not turn.acquire(timeout=self.settings_dict["OPTIONS"].get("timeout", 5)):
            raise OperationalError("database is locked")
        self.held = turn
        try:
            super()._start_transaction_under_autocommit()
        except BaseException:
            self._let_next()
            raise

    def _let_next(self) -> None:
        turn, self.held = self.held, None
        if turn is not None:
            turn.release()

    def _commit(self):
        try:
            return super()._commit()
        finally:
            if self.connection is None or not self.connection.in_transaction:
                self._let_next()

    def _rollback(self):
        try:
            return super()._rollback()
        finally:
            self._let_next()

    def _close(self):
        try:
            return super()._close()
        finally:
            self._let_next()
