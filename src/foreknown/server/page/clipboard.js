/**
 * Put text on the clipboard; whether that went well.
 *
 * Browsers give the clipboard to pages that came over TLS or from this machine; elsewhere a
 * selection that is copied has to do.
 */
export async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Forbidden: try the other way.
    }
  }
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return copied;
}
