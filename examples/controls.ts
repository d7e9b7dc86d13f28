/** Form controls with a label and a visible value; nothing else knows how they are made. */

export interface SliderOptions {
  readonly label: string;
  readonly min: number;
  readonly max: number;
  readonly value: number;
}

/** A labelled slider in `form`; returns a reader of its number. */
export function slider(form: Element, { label, min, max, value }: SliderOptions): () => number {
  const input = Object.assign(document.createElement('input'), { type: 'range', name: label });
  Object.assign(input, { min: String(min), max: String(max), value: String(value) });
  const shown = document.createElement('output');
  const show = (): void => {
    shown.textContent = `${label}: ${input.value}`;
  };
  input.addEventListener('input', show);
  show();
  form.append(labelled(shown, input));
  return () => Number(input.value);
}

/** A labelled tick box in `form`; returns a reader of its state. */
export function tickBox(form: Element, label: string, ticked = false): () => boolean {
  const input = Object.assign(document.createElement('input'), { type: 'checkbox', name: label, checked: ticked });
  const element = labelled(input, document.createTextNode(label));
  element.className = 'tick';
  form.append(element);
  return () => input.checked;
}

/** A labelled choice in `form`: reads the chosen number, and can be given other options. */
export function choice(
  form: Element,
  label: string,
): { read: () => number; offer: (count: number) => void; choose: (option: number) => void } {
  const select = Object.assign(document.createElement('select'), { name: label });
  form.append(labelled(document.createTextNode(label), select));
  return {
    read: () => Number(select.value),
    choose: option => {
      select.value = String(option);
    },
    offer: count => {
      const before = Math.min(Number(select.value), count - 1);
      select.replaceChildren(...Array.from({ length: count }, (_, i) => new Option(String(i), String(i))));
      select.value = String(before);
    },
  };
}

export function labelled(...content: readonly (Element | Text)[]): HTMLLabelElement {
  const element = document.createElement('label');
  element.append(...content);
  return element;
}

/** A value of style.css, such as --seen. It differs between light and dark. */
export const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
