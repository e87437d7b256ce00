/** A share, as a bar. */
export function Bar({ share, label }: { share: number; label: string }) {
  const part = Math.max(0, Math.min(1, share));
  return (
    <span className="share" role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={1} aria-valuenow={Number(part.toFixed(4))} aria-valuetext={`${Math.round(part * 100)} %`}>
      <span style={{ width: `${part * 100}%` }} />
    </span>
  );
}

/** How far something is, in figures and as a bar; without an end only the figure. */
export function Progress({ done, of, unit }: { done: number; of: number | null; unit?: string }) {
  return (
    <span className="progress">
      {of === null ? null : <Bar share={done / Math.max(1, of)} label={`${done} of ${of}`} />}
      <span className="num">
        {done.toLocaleString("en")}
        {of === null ? null : <span className="unit"> / {of.toLocaleString("en")}</span>}
        {unit ? <span className="unit"> {unit}</span> : null}
      </span>
    </span>
  );
}
