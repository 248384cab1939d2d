/** Marks the field a dialog begins with: the browser's own dialog goes by this attribute, which React does not write. */
export function first(field: HTMLElement | null): void {
  field?.setAttribute("autofocus", "");
}
