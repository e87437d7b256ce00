import { useQuery } from "@tanstack/react-query";
import * as ask from "../api/queries.ts";

/** Whose runs or sweeps are shown: all projects', or one's. Nothing where there is one project only. */
export function ProjectChoice({ value, onChange }: { value: string | undefined; onChange: (project: string | undefined) => void }) {
  const projects = useQuery(ask.projects).data ?? [];
  if (projects.length < 2 && !value) return null;
  const known = projects.some((one) => one.name === value) || !value ? projects : [...projects, { name: value, num_runs: 0 }];
  return (
    <select className="select" aria-label="Project" value={value ?? ""} onChange={(event) => onChange(event.target.value || undefined)}>
      <option value="">All projects</option>
      {known.map((one) => (
        <option key={one.name} value={one.name}>
          {one.name} ({one.num_runs.toLocaleString("en")})
        </option>
      ))}
    </select>
  );
}
