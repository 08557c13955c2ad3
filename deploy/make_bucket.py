"""Creates the buckets of the store and of the steps' output, if they are not there yet.

The addresses and the credentials are those of the environment: see deploy/env.example.
"""

import os
import sys

import boto3
from botocore.exceptions import ClientError

HERE_ALREADY = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


def main() -> None:
    client = boto3.client("s3", endpoint_url=os.environ["WAVCAPS_S3__ENDPOINT_URL"])
    for name in dict.fromkeys(sys.argv[1:]):
        try:
            client.create_bucket(Bucket=name)
        except ClientError as error:
            if error.response["Error"]["Code"] not in HERE_ALREADY:
                raise SystemExit(f"the bucket {name} cannot be created: {error}") from error


if __name__ == "__main__":
    main()
