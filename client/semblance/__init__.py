"""Python client of the Semblance service, which trains on labeled data and generates samples.

client = Client("http://127.0.0.1:8000", key)
dataset = client.upload("garments.zip")
job = client.wait(client.train(dataset["id"], preset="fast")["id"])
client.download_samples(job["result"]["model"], "samples.zip", labels={"sneaker": 300})
"""

from semblance.client import Client
from semblance.errors import APIError, ChecksumError, JobFailedError

__all__ = ["APIError", "ChecksumError", "Client", "JobFailedError"]
