// Questions to the reader, in a modal dialog. Escape and "Back" answer no.
import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";

interface Question {
  title: string;
  text?: string;
  /** Words of the button that answers yes. */
  action: string;
  isDangerous?: boolean;
  /** A text to enter; without it, the answer is yes or no. */
  field?: { label: string; value: string; maxLength: number; required: boolean };
}

interface Asked extends Question {
  answer: (value: string | null) => void;
}

const asked = signal<Asked | null>(null);

/** Return true if the reader agrees. */
export const confirmed = async (question: Omit<Question, "field">): Promise<boolean> => (await ask(question)) !== null;

/** Return the text that the reader entered; null if they went back. */
export const entered = (question: Question & Required<Pick<Question, "field">>): Promise<string | null> => ask(question);

const ask = (question: Question) => new Promise<string | null>((answer) => { asked.value = { ...question, answer }; });

export function QuestionDialog() {
  return asked.value && <Dialog question={asked.value} />;
}

function Dialog({ question }: { question: Asked }) {
  const { title, text, action, isDangerous, field } = question;
  const element = useRef<HTMLDialogElement>(null);
  const [value, setValue] = useState(field?.value ?? "");
  useEffect(() => element.current!.showModal(), []);
  const close = (answer: string | null) => {
    element.current!.close(); // gives the focus back
    asked.value = null;
    question.answer(answer);
  };
  return (
    <dialog ref={element} aria-labelledby="question" onCancel={(event) => { event.preventDefault(); close(null); }}>
      <form class="stack" onSubmit={(event) => { event.preventDefault(); close(value.trim()); }}>
        <h2 id="question">{title}</h2>
        {text && <p>{text}</p>}
        {field && (
          <label class="field">
            {field.label}
            <input value={value} maxLength={field.maxLength} required={field.required} autofocus onInput={(event) => setValue(event.currentTarget.value)} />
          </label>
        )}
        <div class="row end">
          <button type="button" class="button" onClick={() => close(null)}>Back</button>
          <button class={`button ${isDangerous ? "danger" : "primary"}`}>{action}</button>
        </div>
      </form>
    </dialog>
  );
}
