# The operator's image, which `prepare` uses too: the library and sectum_operator, started as `sectum-operator …`.
# Context: the project's root. It needs no BuildKit and names no package index: the build arguments below are taken from the
# environment by scripts/images, and stay in the stage that is thrown away.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG PIP_INDEX_URL
ARG UV_DEFAULT_INDEX
ARG UV_VERSION=0.13
ENV UV_PYTHON=/usr/local/bin/python3 UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/sectum \
    UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 PYC_INVALIDATION_MODE=UNCHECKED_HASH UV_NO_CACHE=1
RUN python3 -m venv /uv && /uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}.*"
WORKDIR /src
# What is locked changes seldom, our sources often: a layer each.
COPY pyproject.toml uv.lock ./
COPY probes/pyproject.toml probes/
COPY operator/pyproject.toml operator/
COPY examples/quickstart/stack/pyproject.toml examples/quickstart/stack/
RUN /uv/bin/uv sync --quiet --locked --no-dev --package sectum-operator --no-install-workspace
COPY images/without-aws-services images/
COPY probes probes
COPY operator operator
RUN /uv/bin/uv sync --quiet --locked --no-dev --package sectum-operator --no-editable \
 && find /opt/sectum/bin -type f ! -name "sectum*" -delete \
 && /src/images/without-aws-services /opt/sectum kms s3 sso sso-oidc signin sts

FROM ${BASE}
LABEL org.opencontainers.image.title="sectum-operator" \
      org.opencontainers.image.description="Runs Sectum's verifications on Kubernetes." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY images/without-installers /tmp/
# Libraries ask what the user is called.
RUN /tmp/without-installers && rm /tmp/without-installers && echo 'sectum:x:65532:65532::/tmp:/usr/sbin/nologin' >> /etc/passwd
COPY --from=build /opt/sectum /opt/sectum
ENV PATH=/opt/sectum/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
# The standard library comes without bytecode, and the root is read-only at run time: compile now what we import of it.
RUN PYTHONDONTWRITEBYTECODE= python -c 'import sectum.pod, botocore.session, boto3, sectum_operator.definitions'
USER 65532:65532
WORKDIR /tmp
ENTRYPOINT ["sectum-operator"]
