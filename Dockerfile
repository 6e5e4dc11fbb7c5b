# The image of Fairlead's agent and command line tool, from nothing: docs/image.md says what is in it.
# scripts/build-image.sh makes the same without Docker and reads the lines after `FROM scratch`, one instruction a line.
# docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" .
ARG BUILDER=node:24-bookworm-slim@sha256:6f7b03f7c2c8e2e784dcf9295400527b9b1270fd37b7e9a7285cf83b6951452d

FROM ${BUILDER} AS build
ARG SOURCE_DATE_EPOCH=0
WORKDIR /fairlead
COPY scripts/packages-build.txt scripts/
RUN apt-get update && xargs -a scripts/packages-build.txt apt-get install -y --no-install-recommends
COPY package.json package-lock.json ./
RUN npm ci
COPY . .
RUN scripts/build.sh && scripts/image-rootfs.sh /image

FROM scratch
COPY --from=build /image/ /
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="fairlead"
LABEL org.opencontainers.image.description="eBPF network dataplane for Kubernetes nodes: agent, CNI plugin and command line tool"
LABEL org.opencontainers.image.licenses="Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause) AND MIT"
LABEL org.opencontainers.image.version="${VERSION}"
LABEL org.opencontainers.image.revision="${REVISION}"
LABEL org.opencontainers.image.created="${CREATED}"
ENV PATH=/opt/fairlead/bin
USER 0:0
WORKDIR /
STOPSIGNAL SIGTERM
ENTRYPOINT ["/opt/fairlead/bin/fairlead-agent"]
