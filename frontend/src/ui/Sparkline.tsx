/** A figure's course as a thin line; the figure beside it says the value, so readers of the screen skip it. */
const WIDTH = 118;
const HEIGHT = 22;
/** The share of the largest sample that fills the height at least: what hardly changes is not drawn as if it did. */
const LEAST = 0.1;

export function Sparkline({ samples, room }: { samples: readonly number[]; room?: number }) {
  return (
    <svg width="100%" height={HEIGHT} viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <path
        d={courseOf(samples, room)}
        fill="none"
        stroke="currentColor"
        opacity="0.55"
        vectorEffect="non-scaling-stroke"
      />
    </svg>
  );
}

/** The path of a course: the newest sample at the right edge, the smallest at the bottom. */
export function courseOf(samples: readonly number[], room = 60): string {
  if (samples.length < 2) return "";
  const low = Math.min(...samples);
  const high = Math.max(...samples);
  const span = Math.max(high - low, high * LEAST) || 1;
  const step = WIDTH / (room - 1);
  return samples
    .map((sample, at) => {
      const x = WIDTH - (samples.length - 1 - at) * step;
      const y = HEIGHT - 2 - ((sample - low) / span) * (HEIGHT - 4);
      return `${at === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
}
