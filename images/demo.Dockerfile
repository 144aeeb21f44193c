# The servers of the demo on kind, in one image: the assistant, AWS KMS by moto, S3 by versitygw. For trying out, and for
# nothing else. Context: the project's root, where scripts/versitygw has put .tools/versitygw.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ARG UV_VERSION=0.13
ENV UV_PYTHON=/usr/local/bin/python3 UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/demo/python \
    UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH UV_NO_CACHE=1
RUN python3 -m venv /uv && /uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}.*"
WORKDIR /src
COPY pyproject.toml uv.lock ./
COPY probes/pyproject.toml probes/
COPY operator/pyproject.toml operator/
COPY examples/quickstart/stack/pyproject.toml examples/quickstart/stack/
# A quarter of it all are parts of dependencies that the assistant does not use.
ENV UNUSED="--no-install-package kubernetes --no-install-package onnxruntime --no-install-package hf-xet"
RUN /uv/bin/uv sync --quiet --locked --only-group demo-cluster --no-install-workspace $UNUSED
COPY examples/quickstart/stack examples/quickstart/stack
RUN /uv/bin/uv sync --quiet --locked --only-group demo-cluster --no-editable $UNUSED

FROM ${BASE}
LABEL org.opencontainers.image.title="sectum-demo" \
      org.opencontainers.image.description="Servers for Sectum's demo on kind." \
      org.opencontainers.image.licenses="Apache-2.0"
# PostgreSQL asks who runs it.
RUN echo 'demo:x:65532:65532::/tmp:/bin/sh' >> /etc/passwd && echo 'demo:x:65532:' >> /etc/group
COPY --from=build /opt/demo /opt/demo
COPY examples/quickstart/stack/leaky.toml examples/quickstart/stack/hardened.toml examples/kind/servers /opt/demo/
COPY .tools/versitygw /usr/local/bin/
ENV PATH=/opt/demo:/opt/demo/python/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER 65532:65532
WORKDIR /tmp
