"""The session as a FastAPI dependency."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from lift_dynamorm import Database, Model, PartitionKey, UsageError
from lift_middleware import DynamORMMiddleware
from lift_middleware.fastapi import DB, SyncDB


class Thing(Model, table="things"):
    id: PartitionKey[str]


def make_app() -> FastAPI:
    app = FastAPI()

    @app.post("/async/{id}", status_code=201)
    async def create(id: str, db: DB) -> Thing:
        return await db.create(Thing(id=id))

    @app.post("/sync/{id}", status_code=201)
    def create_sync(id: str, db: SyncDB) -> Thing:
        return db.create(Thing(id=id))

    @app.get("/{id}")
    async def read(id: str, db: DB) -> Thing:
        return await db.get(Thing, id=id)

    return app


def test_async_and_plain_routes_commit() -> None:
    database = Database("local://")
    database.sync.create_tables(Thing)
    app = make_app()
    app.add_middleware(DynamORMMiddleware, database=database)
    with TestClient(app) as client:
        for kind in ("async", "sync"):
            assert client.post(f"/{kind}/{kind}").status_code == 201
            assert client.post(f"/{kind}/{kind}").status_code == 409
            assert client.get(f"/{kind}").json() == {"id": kind}
        assert client.get("/none").status_code == 404


def test_without_the_middleware_the_mend_is_named() -> None:
    with TestClient(make_app()) as client, pytest.raises(UsageError, match="add DynamORMMiddleware"):
        client.get("/1")
