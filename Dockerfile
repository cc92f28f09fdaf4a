# An image with the `grid` command and the examples; a peer by default.
#
#   docker build --tag actor-grid .
#
# Only sources go in (.dockerignore); it needs no feature of BuildKit. Behind a proxy or with a
# package index of your own, pass PIP_INDEX_URL and its like as build arguments, and
# `--network host` if only the host reaches it.
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_DEFAULT_TIMEOUT
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/grid
WORKDIR /src

# What the project depends on, as wheels only: nothing is compiled. This layer is made anew
# when pyproject.toml changes, not with each change of the code.
COPY pyproject.toml ./
RUN python -c "import tomllib; \
project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = project['optional-dependencies']; \
print(*project['dependencies'], *extras['reflection'], sep='\n')" > requirements.txt \
    && python -m pip --python /opt/grid/bin/python install --only-binary :all: -r requirements.txt

COPY README.md LICENSE ./
COPY protos ./protos
COPY grid ./grid
COPY machine ./machine
COPY rpc ./rpc
COPY node ./node
RUN python -m pip wheel --no-deps --wheel-dir /dist .

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="actor-grid" \
      org.opencontainers.image.description="Actors and mailboxes with unique names across processes"
RUN useradd --uid 10001 --user-group --no-create-home --no-log-init --shell /usr/sbin/nologin grid
COPY --from=build /opt/grid /opt/grid
COPY --from=build /dist /dist
RUN python -m pip --python /opt/grid/bin/python install --no-cache-dir --no-deps --no-index \
        --disable-pip-version-check --root-user-action ignore /dist/*.whl
WORKDIR /app
COPY examples ./examples

# The peer listens on every interface of its container and gives out the container's address.
# PYTHONPATH is for the app's modules: put yours into /app, or mount them there. PIP_PYTHON lets
# `RUN pip install` of an image built on this one install for the peer's interpreter.
ENV PIP_PYTHON=/opt/grid/bin/python \
    PATH=/opt/grid/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    GRID_LISTEN=0.0.0.0:7777 \
    GRID_ADVERTISE=auto
USER 10001:10001
EXPOSE 7777
STOPSIGNAL SIGTERM

# Healthy: the peer says SERVING on its own port, whatever that is. It does not while it drains
# or is without a lease.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-m", "grid.cli.health"]

ENTRYPOINT ["grid"]
CMD ["serve", "examples.hello:server"]
