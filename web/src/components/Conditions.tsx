/** With which values of others a parameter exists: a line for each of them; or an expression. */
import { useId, useState } from "react";
import { boxesOf, expressionOf, first, type Only, putOnly, valuesOf } from "../lib/conditions.ts";
import { putPart, type Row } from "../lib/sheet.ts";
import { Button } from "./Button.tsx";
import { Field } from "./Field.tsx";

/** What is known of the other parameters. */
export type Parent = Pick<Row, "name" | "kind" | "low" | "value">;

interface Props {
  row: Row;
  parents: readonly Parent[];
  act: (change: (text: string) => string | false) => boolean;
  /** Where the focus goes once a line is left out. */
  onDrop: () => void;
  wrong: string | undefined;
}

/** Of a choice so many values are boxes to tick; of more they are typed. */
const MOST = 12;
const EXPRESSION = "an expression …";

export function Conditions({ row, parents, act, onDrop, wrong }: Props) {
  const called = (what: string): string => `${row.name}: ${what}`;
  const put = (only: readonly Only[]): void => void act((text) => putOnly(text, row, only));
  const drop = (only: readonly Only[]): void => {
    put(only);
    onDrop();
  };
  const id = useId();
  // What rows can say may be wanted as an expression, to say more.
  const [isText, setText] = useState(false);
  const only = isText ? null : row.only;
  return (
    <div className="param-when" role="group" aria-label={called("only if")}>
      {only ? (
        only.map(({ name, values }, i) => {
          const parent = parents.find((one) => one.name === name);
          const with_ = (made: Only): Only[] => only.map((one, j) => (j === i ? made : one));
          const free = parents.filter((one) => one.name !== row.name && !only.some((other, j) => j !== i && other.name === one.name));
          const boxes = parent?.kind === "choice" ? boxesOf(parent.value, values) : null;
          const wrongAt = [wrong ? id : "", values.length ? "" : `${id}-none-${i}`].filter(Boolean).join(" ") || undefined;
          return (
            <div key={i} className="only">
              <span className="only-word">{i ? "and" : "only if"}</span>
              <select
                className="select"
                aria-label={called(`condition ${i + 1} is about`)}
                aria-invalid={wrong ? true : undefined}
                aria-describedby={wrong ? id : undefined}
                value={name}
                onChange={(event) => {
                  const to = event.target.value;
                  if (to === EXPRESSION) {
                    setText(true);
                    act((text) => putPart(putOnly(text, row, []), row, "when", expressionOf(only)));
                  } else put(with_({ name: to, values: first(parents.find((one) => one.name === to) as Parent) }));
                }}
              >
                {parent ? null : <option>{name}</option>}
                {free.map((one) => (
                  <option key={one.name}>{one.name}</option>
                ))}
                <option>{EXPRESSION}</option>
              </select>
              <span className="only-is">is</span>
              {boxes && boxes.length <= MOST ? (
                <span className="only-values" role="group" aria-label={called(`values of ${name}`)}>
                  {boxes.map((box) => (
                    <label key={box.text}>
                      <input type="checkbox" checked={box.isChosen} aria-invalid={wrongAt ? true : undefined} aria-describedby={wrongAt} onChange={(event) => put(with_({ name, values: boxes.filter((one) => (one === box ? event.target.checked : one.isChosen)).map((one) => one.text) }))} />
                      <span className="text">{box.text}</span>
                    </label>
                  ))}
                </span>
              ) : (
                <Field className="only-typed" label="is" full={called(`values of ${name}`)} seen={false} value={values.join(", ")} wrongAt={wrongAt} placeholder="a, b" title="A value, or several with commas between them" onChange={(typed) => put(with_({ name, values: valuesOf(typed) }))} />
              )}
              {values.length ? null : (
                <span id={`${id}-none-${i}`} className="wrong">
                  No value is chosen: it would never exist.
                </span>
              )}
              <Button kind="quiet" className="param-drop only-drop" aria-label={called(`leave the condition on ${name} out`)} title="Leave the condition out" onClick={() => drop(only.filter((_, j) => j !== i))}>
                ×
              </Button>
            </div>
          );
        })
      ) : (
        <div className="only">
          <Field label="only where" full={called("only where")} value={row.when.replace(/^\{(.*)\}$/, "$1")} wrongAt={wrong ? id : undefined} onChange={() => {}} onDone={(typed) => (act((text) => putPart(text, row, "when", typed)), null)} disabled={row.when.startsWith("{")} title={row.when.startsWith("{") ? "A mapping that rows can't say: change it in the YAML" : undefined} />
          {row.only ? (
            <Button kind="quiet" onClick={() => setText(false)}>
              as rows
            </Button>
          ) : null}
          <Button kind="quiet" className="param-drop only-drop" aria-label={called("leave the condition out")} title="Leave the condition out" onClick={() => drop([])}>
            ×
          </Button>
        </div>
      )}
      {wrong ? (
        <p id={id} className="wrong">
          {wrong}
        </p>
      ) : null}
    </div>
  );
}
