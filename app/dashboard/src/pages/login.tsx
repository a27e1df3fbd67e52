// First page: a one-time link logs in by itself; otherwise the reader enters an API key.
import { useEffect, useState } from "preact/hooks";
import { post, Problem, send } from "../api";
import { navigate, route, setQuery } from "../router";
import { endReason, startSession } from "../session";
import { ProblemNote } from "../ui/parts";

export function LoginPage() {
  const code = route.value.segments[0] === "login" ? route.value.query.get("code") : null;
  const [problem, setProblem] = useState<Problem | null>(null);
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);

  useEffect(() => {
    if (!code) return;
    setQuery({ code: null }); // the code leaves no trace in the history
    post<{ key: string }>("/v1/login", { code }).then(
      (created) => {
        startSession(created.key);
        navigate("#/");
      },
      setProblem,
    );
  }, [code]);

  const logIn = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await send("/v1", { headers: { authorization: `Bearer ${key.trim()}` } });
      startSession(key.trim());
    } catch (error) {
      setProblem(error as Problem);
    } finally {
      setBusy(false);
    }
  };

  return (
    <main class="notice">
      <h1 class="row"><img src="/dashboard/icon.svg" alt="" width="32" height="32" />Semblance</h1>
      <p class="muted">
        Log in with an API key, or open the link that the server prints when it starts. The command
        {" "}<code>semblance-server login-link --data DIR</code> prints a new link.
      </p>
      {endReason.value && <div class="note warn">{endReason.value}</div>}
      {problem && <ProblemNote problem={problem} />}
      <form class="stack" onSubmit={logIn}>
        <label class="field">
          API key
          <input type="password" autocomplete="off" required value={key} placeholder="sem_…" onInput={(event) => setKey(event.currentTarget.value)} />
          <small>It is kept in this tab only, and forgotten when you close it.</small>
        </label>
        <div><button class="button primary" disabled={busy}>Log in</button></div>
      </form>
      <p class="small"><a href="/docs">Documentation of the REST API</a></p>
    </main>
  );
}
