"""The registry: names, registrations and their owners, in etcd."""
