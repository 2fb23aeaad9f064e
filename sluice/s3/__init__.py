"""How S3Store talks to an S3 server: the only importer of minio besides the preparation of a store."""
