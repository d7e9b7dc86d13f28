/**
 * A picture of squares in which a row can be chosen by click, touch or arrow keys.
 */

export interface GridOptions {
  /** What it is, for people who hear it. */
  readonly label: string;
  readonly rows: number;
  readonly columns: number;
  /** Pixels of a square in the canvas; the page scales it. */
  readonly cell?: number;
  /** Colour of a square, or undefined to leave it as the page. */
  readonly fill: (row: number, column: number) => string | undefined;
  /** Outlined row. */
  readonly chosenRow: number | null;
  readonly chosenColour: string;
  readonly onChoose?: (row: number) => void;
}

/** Paints into `canvas`, again and again; listeners are those of the last call. */
export function paintGrid(canvas: HTMLCanvasElement, options: GridOptions): void {
  const { rows, columns, cell = 8, fill, chosenRow, chosenColour, label, onChoose } = options;
  canvas.width = columns * cell;
  canvas.height = rows * cell;
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', label);
  const context = canvas.getContext('2d')!;
  const gap = cell >= 6 ? 1 : 0;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const colour = fill(row, column);
      if (colour === undefined) continue;
      context.fillStyle = colour;
      context.fillRect(column * cell, row * cell, cell - gap, cell - gap);
    }
  }
  if (chosenRow !== null) {
    context.strokeStyle = chosenColour;
    context.lineWidth = Math.max(1, cell / 5);
    context.strokeRect(context.lineWidth / 2, chosenRow * cell, columns * cell - context.lineWidth, Math.max(cell, 2));
  }
  if (!onChoose) return;
  canvas.tabIndex = 0;
  canvas.onpointerdown = event => {
    const { top, height } = canvas.getBoundingClientRect();
    onChoose(clamp(Math.floor(((event.clientY - top) / height) * rows), rows));
  };
  canvas.onkeydown = event => {
    const steps: Record<string, number> = {
      ArrowUp: -1,
      ArrowDown: 1,
      PageUp: -10,
      PageDown: 10,
      Home: -rows,
      End: rows,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    onChoose(clamp((chosenRow ?? 0) + step, rows));
  };
}

const clamp = (row: number, rows: number): number => Math.max(0, Math.min(rows - 1, row));
