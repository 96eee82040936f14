"""The pages of the multi-tenant example, as a browser asks for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from http.cookies import SimpleCookie

import httpx
import pytest

from examples.multi_tenant_saas.saas.web.html import HTML, html, join

from .test_multi_tenant_saas_helpers import MISSING, PASSWORD, Saas, at_once, person, saas

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea></title><svg/onload=alert(1)>",
    "{mark} {title.__class__} {{x}}",
    "&lt;b&gt; &amp; javascript:alert(1)",
]


@pytest.fixture
def app() -> Iterator[Saas]:
    with saas() as found:
        yield found


class Parsed(HTMLParser):
    """The tags and attributes that a browser makes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


class Browser:
    """A browser at the pages of one workspace."""

    def __init__(self, app: Saas, workspace: str, client: httpx.AsyncClient | None = None) -> None:
        self.client = client or app.browser()
        self.client.headers["accept"] = "text/html"
        self.home = f"/w/{workspace}"
        self.page = ""

    async def get(self, path: str) -> httpx.Response:
        answer = await self.client.get(path if path.startswith("/w/") else self.home + path)
        self.page = answer.text
        return answer

    async def post(self, path: str, *, mark: str | None = None, **fields: str) -> httpx.Response:
        """Send a form with the mark of the page that was last loaded."""
        if mark is None:
            mark = re.findall(r'name="mark" value="(\w+)"', self.page)[0]
        return await self.client.post(self.home + path, data={"mark": mark, **fields})

    async def sign_in(self, who: str) -> httpx.Response:
        await self.get("/sign-in")
        answer = await self.post("/sign-in", email=f"{who}@example.com", password=PASSWORD)
        assert (answer.status_code, answer.headers["location"]) == (303, f"{self.home}/"), answer.text
        assert (await self.get("/")).status_code == 200
        return answer


async def signed_in(app: Saas, who: str = "bob", workspace: str = "acme") -> Browser:
    browser = Browser(app, workspace)
    await browser.sign_in(who)
    return browser


def cookie(answer: httpx.Response, name: str = "session") -> dict[str, str]:
    (header,) = [value for value in answer.headers.get_list("set-cookie") if value.startswith(f"{name}=")]
    read = SimpleCookie(header)[name]
    return {"value": read.value, **{key: str(value) for key, value in read.items() if value}}


class TestSigningIn:
    async def test_the_cookie_is_for_the_server_and_the_workspace_alone(self, app: Saas) -> None:
        await app.seed()
        browser = Browser(app, "acme")
        given = cookie(await browser.sign_in("bob"))
        value = given.pop("value")
        assert given == {
            "path": "/w/acme",
            "max-age": "900",
            "secure": "True",
            "httponly": "True",
            "samesite": "lax",
        }
        app.tokens["bob"] = value
        assert (await app.ask("bob", "GET", "/api/me")).status_code == 401  # it is no token for the API

    async def test_without_https_it_is_said_aloud(self) -> None:
        app = Saas(secure_cookies=False)
        await app.seed()
        browser = Browser(app, "acme")
        assert "secure" not in cookie(await browser.sign_in("bob"))
        app.database.sync.close()

    async def test_who_is_not_signed_in_is_sent_to_where_one_can(self, app: Saas) -> None:
        await app.seed()
        browser = Browser(app, "acme")
        for path in ("/", f"/projects/{MISSING}"):
            answer = await browser.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, "/w/acme/sign-in")

    async def test_a_cookie_that_was_changed_or_is_too_old_is_taken_away(self, app: Saas) -> None:
        await app.seed()
        browser = await signed_in(app)
        value = browser.client.cookies["session"]
        for changed in (value[:-2] + ("A" if value[-2] != "A" else "B") + value[-1], app.tokens["bob"], "x"):
            browser.client.cookies.clear()
            answer = await browser.client.get("/w/acme/", headers={"cookie": f"session={changed}"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/w/acme/sign-in")
            assert cookie(answer)["max-age"] == "0"

    async def test_a_wrong_password_says_so_on_the_page(self, app: Saas) -> None:
        await app.seed()
        browser = Browser(app, "acme")
        await browser.get("/sign-in")
        answer = await browser.post("/sign-in", email='a"b@example.com', password="wrong")
        assert answer.status_code == 401
        assert "Workspace, e-mail address or password is wrong." in answer.text
        assert 'value="a&quot;b@example.com"' in answer.text
        assert "session" not in browser.client.cookies

    async def test_signing_out(self, app: Saas) -> None:
        await app.seed()
        browser = await signed_in(app)
        answer = await browser.post("/sign-out")
        assert (answer.status_code, cookie(answer)["max-age"]) == (303, "0")
        assert (await browser.get("/")).headers["location"] == "/w/acme/sign-in"

    async def test_signing_up(self, app: Saas) -> None:
        browser = Browser(app, "initech")
        browser.home = ""
        assert (await browser.get("/")).status_code == 200
        new = {"workspace": "initech", "title": "<Initech>", "plan": "free", **person("ida")}
        refused = await browser.post("/sign-up", **{**new, "password": "short"})
        assert refused.status_code == 422
        assert "Password: " in refused.text
        assert 'value="&lt;Initech&gt;"' in refused.text
        answer = await browser.post("/sign-up", **new)
        assert (answer.status_code, answer.headers["location"]) == (303, "/w/initech/")
        assert "&lt;Initech&gt;" in (await browser.get("/w/initech/")).text
        again = await browser.post("/sign-up", mark=await self._mark(browser), **new)
        assert (again.status_code, "The workspace name initech is taken." in again.text) == (409, True)

    async def _mark(self, browser: Browser) -> str:
        await browser.get("/")
        return str(re.findall(r'name="mark" value="(\w+)"', browser.page)[0])

    async def test_the_way_to_a_workspace(self, app: Saas) -> None:
        browser = Browser(app, "acme")
        for given, expected in (("acme", "/w/acme/sign-in"), (" Acme ", "/w/acme/sign-in"), ("//evil.example", "/")):
            answer = await browser.client.get("/open", params={"workspace": given})
            assert (answer.status_code, answer.headers["location"]) == (303, expected)

    async def test_who_works_stays_signed_in_with_the_role_as_it_is(self) -> None:
        app = Saas(lifetime=1)
        app.settings.tokens.__dict__["lifetime"] = 900
        await app.seed()
        browser = await signed_in(app)
        assert "set-cookie" not in (await browser.get("/")).headers
        await app.ask("ann", "PATCH", f"/api/users/{app.users['bob']}", {"role": "viewer"}, {"If-Match": "*"})
        mark = re.findall(r'name="mark" value="(\w+)"', browser.page)[0]
        app.settings.tokens.__dict__["lifetime"] = 2000  # so that 900 seconds are less than half
        answer = await browser.get("/")
        assert cookie(answer)["max-age"] == "2000"
        assert f'value="{mark}"' in (await browser.get("/")).text  # forms that are open stay good
        assert '<span class="role">viewer</span>' in browser.page
        assert (await browser.post("/projects", mark=mark, name="x")).status_code == 403
        app.database.sync.close()


class TestForms:
    @pytest.mark.parametrize("mark", ["", "0" * 64, "another"])
    async def test_a_form_that_is_not_from_here_is_refused(self, app: Saas, mark: str) -> None:
        await app.seed()
        browser = await signed_in(app, "ann")
        project = await app.project("ann")
        task = (await app.task("ann", project)).json()["id"]
        empty = await app.project("ann")
        before = app.items()
        for path in (
            "/projects",
            f"/projects/{empty}/delete",
            f"/projects/{project}/tasks",
            f"/projects/{project}/tasks/{task}",
            f"/projects/{project}/tasks/{task}/delete",
            "/sign-out",
        ):
            fields = {"name": "x"} if path == "/projects" else {"title": "x"}
            answer = await browser.post(path, mark=mark, version="1", **fields)
            assert answer.status_code == 403, path
            assert "not from here" in answer.text
        assert app.items() == before
        assert (await browser.get("/")).status_code == 200

    async def test_the_mark_of_another_browser_is_none(self, app: Saas) -> None:
        await app.seed()
        bob, vic = await signed_in(app), await signed_in(app, "ann")
        mark = re.findall(r'name="mark" value="(\w+)"', vic.page)[0]
        assert (await bob.post("/projects", mark=mark, name="x")).status_code == 403
        assert (await bob.post("/projects", name="x")).status_code == 303

    async def test_signing_in_by_a_form_of_another_site(self, app: Saas) -> None:
        await app.seed()
        browser = Browser(app, "acme")
        given = {"email": "bob@example.com", "password": PASSWORD}
        assert (await browser.post("/sign-in", mark="", **given)).status_code == 403
        await browser.get("/sign-in")
        mark = re.findall(r'name="mark" value="(\w+)"', browser.page)[0]
        browser.client.cookies.clear()
        assert (await browser.post("/sign-in", mark=mark, **given)).status_code == 403
        browser.client.cookies.clear()
        of_nobody = app.settings.tokens.mark("form", "")
        assert (await browser.post("/sign-in", mark=of_nobody, **given)).status_code == 403

    async def test_a_form_that_cannot_be_read(self, app: Saas) -> None:
        await app.seed()
        browser = await signed_in(app)
        for body, status in ((b"name=%ff", 400), (b"x" * 20_000, 413)):
            answer = await browser.client.post("/w/acme/projects", content=body)
            assert answer.status_code == status


class TestBoard:
    async def test_a_task_is_created_moved_edited_and_deleted(self, app: Saas) -> None:
        await app.seed()
        browser = await signed_in(app)
        assert "There are no projects yet." in browser.page
        board = (await browser.post("/projects", name="Website")).headers["location"].removeprefix("/w/acme")
        page = await browser.get(board)
        assert page.text.count("Nothing here.") == 3
        fields = {"title": "Launch", "priority": "1", "assignee": app.users["vic"], "due": "2020-01-01"}
        assert (await browser.post(f"{board}/tasks", **fields)).headers["location"] == f"/w/acme{board}"
        page = await browser.get(board)
        for shown in ("Launch", "urgent", ">Vic<", 'class="late"', 'aria-label="Start: Launch"'):
            assert shown in page.text
        (task,) = set(re.findall(r'action="/w/acme(/projects/[\w-]+/tasks/[\w-]+)"', page.text))
        assert (await browser.post(task, version="1", status="doing")).status_code == 303
        edit = {"title": "Land", "status": "done", "priority": "4", "assignee": "", "due": ""}
        assert (await browser.post(task, version="2", **edit)).status_code == 303
        page = await browser.get(board)
        assert re.search(r'id="done">Done <span class="count">1', page.text)
        stored = (await app.ask("bob", "GET", f"/api{task}")).json()
        assert (stored["title"], stored["assignee"], stored["due"]) == ("Land", None, None)
        assert (await browser.post(f"{task}/delete", version="3")).status_code == 303
        assert (await browser.get(board)).text.count("Nothing here.") == 3
        assert (await browser.post(f"{board}/delete")).headers["location"] == "/w/acme/"
        page = await browser.get("/")
        assert re.findall(r"<b>Bob</b> (\w+) <q>(\w+)</q>", page.text) == [
            ("deleted", "Website"),
            ("deleted", "Land"),
            ("changed", "Land"),
            ("moved", "Launch"),
            ("created", "Launch"),
            ("created", "Website"),
        ]

    async def test_a_task_that_somebody_else_has_changed_is_not_written_over(self, app: Saas) -> None:
        await app.seed()
        project = await app.project("ann")
        task = await app.task("ann", project)
        browser = await signed_in(app)
        await app.ask("ann", "PATCH", task.headers["location"], {"title": "Hers"}, {"If-Match": "*"})
        path = task.headers["location"].removeprefix("/api")
        for where in (path, f"{path}/delete"):
            answer = await browser.post(where, version="1", title="His")
            assert (answer.status_code, "Somebody has changed this task" in answer.text) == (409, True)
        assert (await app.ask("ann", "GET", task.headers["location"])).json()["title"] == "Hers"

    async def test_two_at_once_one_is_told(self, app: Saas) -> None:
        await app.seed()
        task = (await app.task("ann", await app.project("ann"))).headers["location"].removeprefix("/api")
        one, two = await signed_in(app), await signed_in(app, "ann")
        answers = await at_once(one.post(task, version="1", title="a"), two.post(task, version="1", title="b"))
        assert sorted(answer.status_code for answer in answers) == [303, 409]
        assert all(answer.headers["content-type"].startswith("text/html") for answer in answers if answer.content)

    async def test_a_viewer_sees_no_forms_and_may_send_none(self, app: Saas) -> None:
        await app.seed()
        project = await app.project("ann")
        task = (await app.task("ann", project)).json()["id"]
        browser = await signed_in(app, "vic")
        page = await browser.get(f"/projects/{project}")
        assert "Launch" in page.text
        assert re.findall(r'<form method="post" action="([^"]+)"', page.text) == ["/w/acme/sign-out"]
        before = app.items()
        for path in ("/projects", f"/projects/{project}/tasks", f"/projects/{project}/tasks/{task}"):
            answer = await browser.post(path, name="x", title="x", version="1")
            assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
        assert app.items() == before

    async def test_a_limit_is_told_on_a_page_with_a_way_back(self, app: Saas) -> None:
        await app.sign_up("ann", "acme")
        browser = await signed_in(app, "ann")
        for name in "abc":
            answer = await browser.post("/projects", name=name)
        assert (answer.status_code, "The plan allows 2 projects." in answer.text) == (409, True)
        assert 'href="/w/acme/"' in answer.text

    async def test_the_way_back_stays_here(self, app: Saas) -> None:
        await app.seed()
        browser = await signed_in(app)
        browser.client.headers["referer"] = "https://evil.example//evil.example/x"
        answer = await browser.get(f"/projects/{MISSING}")
        assert answer.status_code == 404
        assert 'href="/w/acme/"' in answer.text
        browser.client.headers["referer"] = "https://testserver/w/acme/projects/1"
        assert 'href="/w/acme/projects/1"' in (await browser.get(f"/projects/{MISSING}")).text

    async def test_who_asks_for_no_page_gets_a_problem(self, app: Saas) -> None:
        answer = await app.client.get("/w/acme/", headers={"accept": "application/json"})
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


class TestTwoWindows:
    async def test_one_browser_is_in_two_workspaces_and_each_sees_its_own(self, app: Saas) -> None:
        await app.seed()
        boards = {who: await app.project(who, f"{who}s board") for who in ("ann", "gil")}
        client = app.browser()
        acme, globex = Browser(app, "acme", client), Browser(app, "globex", client)
        await acme.sign_in("bob")
        await globex.sign_in("gil")
        assert "anns board" in (await acme.get("/")).text
        assert "gils board" in (await globex.get("/")).text
        assert "gils" not in acme.page
        assert "anns" not in globex.page
        for browser, other in ((acme, "gil"), (globex, "ann")):
            theirs = await browser.get(f"/projects/{boards[other]}")
            nobodys = await browser.get(f"/projects/{MISSING}")
            assert theirs.status_code == nobodys.status_code == 404
            assert theirs.text.replace(boards[other], MISSING) == nobodys.text

    async def test_the_cookie_of_one_does_not_open_the_other(self, app: Saas) -> None:
        await app.seed()
        browser = await signed_in(app)
        headers = {"cookie": f"session={browser.client.cookies['session']}", "accept": "text/html"}
        stranger = app.browser()
        assert (await stranger.get("/w/acme/", headers=headers)).status_code == 200
        answer = await stranger.get("/w/globex/", headers=headers)
        assert answer.status_code == 403
        assert "Globex" not in answer.text


class TestEscaping:
    @pytest.mark.parametrize("text", HOSTILE)
    async def test_what_people_write_is_text_wherever_it_is_shown(self, app: Saas, text: str) -> None:
        new = {"workspace": "acme", "title": text, **person("ann"), "name": text[:100]}
        answer = await app.ask("", "POST", "/api/sign-up", new)
        app.tokens["ann"], app.users["ann"] = answer.json()["access_token"], answer.json()["user"]
        project = await app.project("ann", text)
        await app.task("ann", project, title=text, assignee=app.users["ann"])
        browser = await signed_in(app, "ann")
        for path in ("/", f"/projects/{project}"):
            page = (await browser.get(path)).text
            assert text not in page or not set(text) & set("<>\"'&")
            assert unescape(page).count(text) >= 4
            parsed = Parsed(page)
            assert not parsed.tags & {"script", "img", "svg", "textarea", "i"}
            assert not [name for name in parsed.attributes if name.startswith("on")]

    async def test_pages_may_load_nothing_but_the_style_sheet_and_are_in_no_frame(self, app: Saas) -> None:
        await app.seed()
        browser = await signed_in(app)
        for path in ("/", "/sign-in", f"/projects/{MISSING}"):
            answer = await browser.get(path)
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; style-src 'self'")
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
        sheet = await browser.client.get("/style.css")
        assert (sheet.status_code, sheet.headers["content-type"]) == (200, "text/css; charset=utf-8")

    async def test_every_field_has_a_label(self, app: Saas) -> None:
        await app.seed()
        project = await app.project("ann")
        await app.task("ann", project)
        browser = await signed_in(app)
        for path in ("/", "/sign-in", f"/projects/{project}", "/w/../"):
            page = (await browser.get(path)).text
            assert '<html lang="en">' in page
            assert page.count("<h1>") == 1
            labelled = set(re.findall(r'<label for="(\w+)"', page))
            inside = re.sub(r"<label>.*?</label>", "", page)
            for field in re.findall(r"<(?:input|select)([^>]*)>", inside):
                if 'type="hidden"' not in field:
                    assert re.findall(r'id="(\w+)"', field)[0] in labelled

    def test_templates_escape_what_is_put_in(self) -> None:
        assert html("<b>{x}</b>", x='<i a="\'">&') == "<b>&lt;i a=&quot;&#x27;&quot;&gt;&amp;</b>"
        assert html("{x}{y}{z}", x=HTML("<br>"), y=None, z=3) == "<br>3"
        assert html("{x}", x="{y}") == "{y}"
        assert join([html("<i>{x}</i>", x="<"), HTML("<br>")]) == "<i>&lt;</i><br>"
