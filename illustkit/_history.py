"""The table of a run: one row an epoch."""

import csv

import keras


class History(keras.callbacks.CSVLogger):
    """Adds a row an epoch, to the columns that are there already.

    `keras.callbacks.CSVLogger` writes the numbers of a resumed training one after
    another, under whatever column: those that log more or fewer of them than before
    would stand in the wrong place.

    Args:
        path: The CSV.
    """

    def __init__(self, path):
        super().__init__(str(path), append=True)

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        with open(self.filename, newline="", encoding="utf-8") as file:
            columns = next(csv.reader(file), [])
        self.keys = columns[1:] or None
