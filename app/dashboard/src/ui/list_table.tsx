// A table that becomes a list of blocks on a phone, where each cell shows the name of its column.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export function ListTable({ label, children }: { label: string; children: ComponentChildren }) {
  const table = useRef<HTMLTableElement>(null);
  useEffect(() => {
    const names = [...table.current!.querySelectorAll("thead th")].map((heading) => heading.textContent);
    for (const row of table.current!.querySelectorAll("tbody tr")) {
      [...row.children].forEach((cell, index) => { (cell as HTMLElement).dataset.label = names[index] ?? ""; });
    }
  });
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table class="list" ref={table}>{children}</table>
    </div>
  );
}
