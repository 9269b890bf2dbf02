"""Signs of life of the background: when beat last ran, when each periodic task last finished."""

from django.db import models


class Pulse(models.Model):
    name = models.CharField(max_length=80, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
