/** What an entry is about, as a link where there is a page of it. */
import { Link } from "@tanstack/react-router";
import { placeOfId } from "../../shell/places";

const NODE = /^[A-Z]{3}-[A-Z0-9]{6}$/;
const CASE = /^case_[0-9a-z]{13}$/;

function placeOf(subject: string): string | null {
  if (NODE.test(subject)) return `/nodes/${subject}`;
  if (CASE.test(subject)) return `/cases/${subject}`;
  return placeOfId(subject);
}

export function Subject({ of, quiet = false }: { of: string; quiet?: boolean }) {
  const place = placeOf(of);
  if (place === null) return <bdi>{of}</bdi>;
  return (
    <Link to={place as "/"} className="mono" tabIndex={quiet ? -1 : undefined}>
      {of}
    </Link>
  );
}
