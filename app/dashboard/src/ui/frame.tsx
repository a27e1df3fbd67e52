// The frame of every page: navigation, theme, end of the session.
import type { ComponentChildren } from "preact";
import { link, route } from "../router";
import { endSession } from "../session";
import { applyTheme, theme, THEMES } from "../theme";
import { QuestionDialog } from "./dialog";

const ITEMS = [
  ["Overview", ""],
  ["Datasets", "datasets"],
  ["Jobs", "jobs"],
  ["Models", "models"],
  ["Compare", "compare"],
  ["Settings", "settings"],
] as const;

const THEME_NAMES = { auto: "Auto", light: "Light", dark: "Dark" };

export function Frame({ children }: { children: ComponentChildren }) {
  const section = route.value.segments[0] ?? "";
  return (
    <div class="frame">
      <a class="skip" href="#main" onClick={focusMain}>Skip to the content</a>
      <nav class="nav" aria-label="Main">
        <a class="brand" href={link()}><img src="/dashboard/icon.svg" alt="" />Semblance</a>
        <div class="items">
          {ITEMS.map(([label, segment]) => (
            <a key={label} class="item" href={segment ? link(segment) : link()} aria-current={section === segment ? "page" : undefined}>
              {label}
            </a>
          ))}
        </div>
        <div class="foot">
          <label class="theme">
            <span>Theme</span>
            <select value={theme.value} onChange={(event) => applyTheme(event.currentTarget.value)}>
              {THEMES.map((name) => <option key={name} value={name}>{THEME_NAMES[name]}</option>)}
            </select>
          </label>
          <a class="item" href="/docs">API</a>
          <button type="button" class="button plain" onClick={() => endSession()}>Log out</button>
        </div>
      </nav>
      <main class="page" id="main" tabIndex={-1}>{children}</main>
      <QuestionDialog />
    </div>
  );
}

function focusMain(event: Event): void {
  event.preventDefault(); // the fragment is the address of the page
  document.getElementById("main")?.focus();
}
