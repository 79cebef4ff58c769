/** A spectrum: real and imaginary parts. */
export interface Complex {
  re: Float64Array;
  im: Float64Array;
}

/** Σ_t x_t·exp(∓2πi·k·t/n), by the prime factors of n (Cooley & Tukey 1965). `sign` −1: forward; 1: backward, unscaled. */
export function fourier({ re, im }: Complex, sign: -1 | 1): Complex {
  const n = re.length;
  const parts = smallestFactor(n);
  if (parts === n) return directly({ re, im }, sign);
  const rest = n / parts;
  const transformed = Array.from({ length: parts }, (_, offset) => {
    const pick = (from: Float64Array) =>
      Float64Array.from({ length: rest }, (_, i) => from[i * parts + offset] as number);
    return fourier({ re: pick(re), im: pick(im) }, sign);
  });
  return combined(transformed, sign);
}

function combined(parts: Complex[], sign: -1 | 1): Complex {
  const rest = parts[0]?.re.length ?? 0;
  const n = rest * parts.length;
  const out = { re: new Float64Array(n), im: new Float64Array(n) };
  for (let k = 0; k < n; k++) {
    let [sumRe, sumIm] = [0, 0];
    parts.forEach(({ re, im }, offset) => {
      const angle = (sign * 2 * Math.PI * ((k * offset) % n)) / n;
      const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
      const [a, b] = [re[k % rest] as number, im[k % rest] as number];
      sumRe += a * cos - b * sin;
      sumIm += a * sin + b * cos;
    });
    out.re[k] = sumRe;
    out.im[k] = sumIm;
  }
  return out;
}

function directly(input: Complex, sign: -1 | 1): Complex {
  const single = Array.from(input.re, (re, i) => ({
    re: Float64Array.of(re),
    im: Float64Array.of(input.im[i] as number),
  }));
  return combined(single, sign);
}

function smallestFactor(n: number): number {
  for (let factor = 2; factor * factor <= n; factor++) if (n % factor === 0) return factor;
  return n;
}
