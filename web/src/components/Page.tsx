/** The frame of a page: its name first, then what belongs to it. */
import { type ReactNode, useEffect } from "react";

export function Page({ title, heading, above, aside, children, fill }: { title: string; heading?: ReactNode; above?: ReactNode; aside?: ReactNode; children: ReactNode; fill?: boolean }) {
  useEffect(() => {
    document.title = `${title} – Whet`;
  }, [title]);
  return (
    <div className={fill ? "page page-fill" : "page"}>
      <header className="page-head">
        <div className="page-title">
          {above ? <div className="above">{above}</div> : null}
          <h1>{heading ?? title}</h1>
        </div>
        {aside ? <div className="page-aside">{aside}</div> : null}
      </header>
      {children}
    </div>
  );
}

/** A part of a page. */
export function Section({ title, aside, children, className = "" }: { title: string; aside?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={`section ${className}`} aria-label={title}>
      <div className="section-head">
        <h2>{title}</h2>
        {aside ? <div className="section-aside">{aside}</div> : null}
      </div>
      {children}
    </section>
  );
}

const MANY = 24;

/** Names and values; many parameters scroll by themselves. */
export function Facts({ of, className = "" }: { of: readonly (readonly [ReactNode, ReactNode])[]; className?: string }) {
  const isLong = className === "params" && of.length > MANY;
  return (
    <dl className={`facts ${className} ${isLong ? "facts-many" : ""}`} {...(isLong ? { tabIndex: 0, "aria-label": `${of.length} values` } : {})}>
      {of.map(([name, value], i) => (
        <div key={i}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
