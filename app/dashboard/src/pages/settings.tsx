// Keys, usage, webhooks and the audit log.
import { useState } from "preact/hooks";
import { post, type Problem, remove } from "../api";
import { bytes, duration, number } from "../format";
import { type Loaded, useGet, usePages } from "../load";
import type { AuditEntry, CreatedKey, CreatedWebhook, Delivery, Key, Usage, Webhook } from "../types";
import { confirmed } from "../ui/dialog";
import { Check, errorOf, Input, Select } from "../ui/fields";
import { ListTable } from "../ui/list_table";
import { Badge, Card, Code, Empty, Loading, Message, ProblemNote, Time } from "../ui/parts";

const SCOPES: [Key["scopes"][number], string][] = [
  ["read", "see datasets, jobs and models, without the training data"], ["data:read", "see and download training data"],
  ["data", "upload, change and delete datasets"], ["train", "train, evaluate and delete models"], ["sample", "generate samples"],
  ["webhooks", "create jobs with a webhook"], ["admin", "all of these, and keys and the audit log"],
];

export function SettingsPage() {
  const self = useGet<Key>("/v1/keys/self");
  return (
    <>
      <header><h1>Settings</h1></header>
      {self.value && (
        <p class="muted">
          This tab uses the key <strong>{self.value.name}</strong> ({self.value.scopes.join(", ")})
          {self.value.expires_at ? <>, which expires <Time at={self.value.expires_at} />.</> : "."}
        </p>
      )}
      <Keys self={self.value?.id} />
      <UsageCard />
      <Webhooks />
      <Audit />
    </>
  );
}

function Keys({ self }: { self: string | undefined }) {
  const keys = usePages<Key>("/v1/keys", { limit: 50 });
  const [problem, setProblem] = useState<Problem | null>(null);
  const revoke = async (key: Key) => {
    if (!(await confirmed({ title: `Revoke the key “${key.name}”?`, text: "Programs that use it stop working at once.", action: "Revoke", isDangerous: true }))) return;
    await remove(`/v1/keys/${key.id}`).then(keys.reload, setProblem);
  };
  return (
    <Card title="API keys">
      <State loaded={keys} />
      {keys.items && (
        <>
          <NewKey onCreate={keys.reload} />
          {problem && <ProblemNote problem={problem} />}
          <ListTable label="API keys">
            <thead><tr><th>Name</th><th>May</th><th>Created</th><th>Last used</th><th>Expires</th><th><span class="hidden">Action</span></th></tr></thead>
            <tbody>
              {keys.items.map((key) => (
                <tr key={key.id}>
                  <td class="title">{key.name} {key.id === self && <Badge tone="live">this tab</Badge>}</td>
                  <td class="line">{key.scopes.join(", ")}</td>
                  <td><Time at={key.created_at} /></td>
                  <td>{key.last_used_at ? <Time at={key.last_used_at} /> : "never"}</td>
                  <td>{key.expires_at ? <Time at={key.expires_at} /> : "never"}</td>
                  <td>{key.revoked_at ? <Badge>revoked</Badge> : <button type="button" class="button small" aria-label={`Revoke ${key.name}`} onClick={() => revoke(key)}>Revoke</button>}</td>
                </tr>
              ))}
            </tbody>
          </ListTable>
          {keys.next && <div><button type="button" class="button" onClick={keys.more}>Show more</button></div>}
        </>
      )}
    </Card>
  );
}

const DAY_S = 86_400;
const EXPIRIES: [string, string][] = [["", "never"], [String(DAY_S), "after a day"], [String(30 * DAY_S), "after 30 days"], [String(366 * DAY_S), "after a year"]];

function NewKey({ onCreate }: { onCreate: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<string[]>(["read", "sample"]);
  const [expiry, setExpiry] = useState("");
  const [created, setCreated] = useState<CreatedKey | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const create = async (event: Event) => {
    event.preventDefault();
    setProblem(null);
    try {
      setCreated(await post<CreatedKey>("/v1/keys", { name, scopes, ...(expiry && { expires_in_s: Number(expiry) }) }));
      setName("");
      onCreate();
    } catch (error) {
      setProblem(error as Problem);
    }
  };
  return (
    <details open={Boolean(created)}>
      <summary>New key</summary>
      <form class="stack" onSubmit={create}>
        <div class="grid narrow">
          <Input label="Name" value={name} required error={errorOf(problem, "name")} hint="For example the program that will use it." onChange={setName} />
          <Select label="Expires" value={expiry} options={EXPIRIES} onChange={setExpiry} />
        </div>
        <fieldset class="plain">
          <legend>It may</legend>
          {SCOPES.map(([scope, text]) => (
            <Check key={scope} label={scope} hint={text} checked={scopes.includes(scope)} onChange={(on) => setScopes(on ? [...scopes, scope] : scopes.filter((other) => other !== scope))} />
          ))}
        </fieldset>
        {problem && <ProblemNote problem={problem} />}
        <div><button class="button primary" disabled={scopes.length === 0}>Create the key</button></div>
      </form>
      {created && <div class="note good" role="status"><strong>Copy the key now: it is shown only once.</strong><Code label={created.name} text={created.key} /></div>}
    </details>
  );
}

function UsageCard() {
  const [by, setBy] = useState("");
  const usage = useGet<Usage>("/v1/usage", { by });
  return (
    <Card title="Usage">
      {usage.error && <ProblemNote problem={usage.error} />}
      <div class="filters"><Select label="Group by" value={by} options={[["", "kind of job"], ["day", "day"], ["key", "key"]]} onChange={setBy} /></div>
      {!usage.value && !usage.error && <Loading rows={3} />}
      {usage.value && (
        <>
          <ListTable label="Usage">
            <thead><tr><th>Jobs</th>{by && <th>{by}</th>}<th class="number">Number</th><th class="number">Succeeded</th><th class="number">Failed</th><th class="number">CPU time</th><th class="number">Elapsed</th><th class="number">Samples</th></tr></thead>
            <tbody>
              {usage.value.jobs.map((row) => (
                <tr key={`${row.kind} ${row.day} ${row.key}`}>
                  <td class="title">{row.kind}</td>
                  {by && <td class="mono">{row.day ?? row.key}</td>}
                  <td class="number">{number(row.jobs)}</td><td class="number">{number(row.succeeded)}</td><td class="number">{number(row.failed)}</td>
                  <td class="number">{duration(row.cpu_s)}</td><td class="number">{duration(row.wall_s)}</td><td class="number">{number(row.items)}</td>
                </tr>
              ))}
            </tbody>
          </ListTable>
          <small class="muted">Stored: datasets {bytes(usage.value.stored.datasets)}, models {bytes(usage.value.stored.models)}, artifacts and checkpoints {bytes(usage.value.stored.artifacts)}.</small>
        </>
      )}
    </Card>
  );
}

function Webhooks() {
  const hooks = usePages<Webhook>("/v1/webhooks", { limit: 50 });
  const [url, setUrl] = useState("");
  const [created, setCreated] = useState<CreatedWebhook | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const create = async (event: Event) => {
    event.preventDefault();
    setProblem(null);
    await post<CreatedWebhook>("/v1/webhooks", { url }).then((hook) => { setCreated(hook); setUrl(""); hooks.reload(); }, setProblem);
  };
  const drop = async (hook: Webhook) => {
    if (!(await confirmed({ title: "Delete this webhook?", text: hook.url, action: "Delete", isDangerous: true }))) return;
    await remove(`/v1/webhooks/${hook.id}`).then(hooks.reload, setProblem);
  };
  return (
    <Card title="Webhooks">
      <State loaded={hooks} />
      {hooks.items && (
        <>
          <form class="row" onSubmit={create}>
            <div class="grow"><Input label="URL" type="url" required value={url} placeholder="https://example.com/hook" hint="It gets a signed message when a job starts or ends." error={errorOf(problem, "url")} onChange={setUrl} /></div>
            <button class="button">Add</button>
          </form>
          {problem && <ProblemNote problem={problem} />}
          {created?.secret && <div class="note good" role="status"><strong>Copy the secret now: it is shown only once.</strong><Code label="Secret that signs the messages" text={created.secret} /></div>}
          {hooks.items.length === 0 && <Empty title="No webhooks"><p>Without one, programs ask for the state of their jobs.</p></Empty>}
          <ul class="stack">
            {hooks.items.map((hook) => (
              <li key={hook.id} class="stack">
                <div class="row">
                  <strong class="mono">{hook.url}</strong>
                  {hook.disabled_at && <Badge tone="bad">disabled</Badge>}
                  <small class="muted">{hook.job ? `only ${hook.job}` : hook.events.join(", ")}</small>
                  <button type="button" class="button small" aria-label={`Delete ${hook.url}`} onClick={() => drop(hook)}>Delete</button>
                </div>
                <Deliveries id={hook.id} />
              </li>
            ))}
          </ul>
        </>
      )}
    </Card>
  );
}

function Deliveries({ id }: { id: string }) {
  const [opened, setOpened] = useState(false);
  const { value } = useGet<{ data: Delivery[] }>(opened ? `/v1/webhooks/${id}/deliveries` : null, { limit: 20 });
  return (
    <details class="small" onToggle={(event) => event.currentTarget.open && setOpened(true)}>
      <summary>Newest deliveries</summary>
      {value?.data.length === 0 && <p class="muted">None yet.</p>}
      <ul class="stack">
        {value?.data.map((delivery) => (
          <li key={delivery.id} class="row">
            <Badge tone={delivery.state === "delivered" ? "good" : delivery.state === "failed" ? "bad" : ""}>{delivery.state}</Badge>
            <span>{delivery.type}</span><Time at={delivery.created_at} /><span class="muted">{delivery.last_error}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}

function Audit() {
  const entries = usePages<AuditEntry>("/v1/audit", { limit: 20 });
  const keys = usePages<Key>("/v1/keys", { limit: 100 });
  const names = new Map(keys.items?.map((key) => [key.id, key.name]));
  return (
    <Card title="Audit log">
      <State loaded={entries} />
      {entries.items?.length === 0 && <p class="muted">No changes yet.</p>}
      {entries.items && entries.items.length > 0 && (
        <ListTable label="Audit log">
          <thead><tr><th>Change</th><th>Resource</th><th>Key</th><th>Time</th></tr></thead>
          <tbody>
            {entries.items.map((entry) => (
              <tr key={entry.id}><td class="title">{entry.action}</td><td class="line mono">{entry.resource}</td><td title={entry.key}>{names.get(entry.key) ?? <span class="mono">{entry.key}</span>}</td><td class="nowrap"><Time at={entry.created_at} /></td></tr>
            ))}
          </tbody>
        </ListTable>
      )}
      {entries.next && <div><button type="button" class="button" onClick={entries.more}>Show more</button></div>}
    </Card>
  );
}

/** What a list shows before it has items; a key without the scope gets a sentence instead of an error. */
function State({ loaded }: { loaded: Loaded<unknown> }) {
  if (loaded.error?.status === 403) return <p class="muted"><Message text={loaded.error.detail} /></p>;
  if (loaded.error) return <ProblemNote problem={loaded.error} onRetry={loaded.reload} />;
  return loaded.value ? null : <Loading rows={3} />;
}
