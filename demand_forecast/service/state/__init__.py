"""What one worker holds in memory, and the threads that keep it up to date.

- published forecast: the numbers of one package (`published_forecast.py`)
- served: one package in use, its published forecast and its model (`served.py`)
- arms: the served packages of champion and challenger, by series (`arms.py`)
- live: the arms now, replaced when something newer is published (`live.py`)
- worker: all of it, with the keys, the log and the model's queue beside it (`worker.py`)
"""
