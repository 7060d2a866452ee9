/* Elementary functions whose bits are the same on every machine (law 3).
 *
 * Each is a polynomial in f32 with every fused multiply-add written out, no table, no library
 * call and no branch, so a compiler may run it in lanes of any width and get the same bits.
 * Coefficients are Chebyshev fits made at 40 digits; errors were measured against float64
 * over the whole range (tests/targets/test_fkmath.py) and stand beside each function.
 * Compile with -ffp-contract=off -fno-math-errno. */
#ifndef FKMATH_H
#define FKMATH_H

#include <stdint.h>
#include <string.h>

static inline float fk_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

static inline float fk_from_bits(uint32_t u) { float f; memcpy(&f, &u, sizeof f); return f; }
static inline uint32_t fk_bits(float f) { uint32_t u; memcpy(&u, &f, sizeof u); return u; }

#define FK_INF __builtin_inff()
#define FK_NAN __builtin_nanf("")

/* ln 2 in three parts of 12, 12 and 24 bits: n * part is exact for |n| < 4096. */
static const float fk_ln2_a = 0x1.62ep-1f, fk_ln2_b = 0x1.0bep-15f, fk_ln2_c = 0x1.be8e7cp-27f;

/* 2^n for -252 <= n <= 254, in two factors so that neither under- nor overflows early. */
static inline float fk_scale2(float x, float n) {
    int32_t i = (int32_t)n, half = i >> 1;
    float a = fk_from_bits((uint32_t)(half + 127) << 23);
    float b = fk_from_bits((uint32_t)(i - half + 127) << 23);
    return x * a * b;
}

static inline float fk_clamp(float x, float low, float high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* exp(r) - 1 for |r| <= ln(2)/2. */
static inline float fk_expm1_reduced(float r) {
    float p = 0.0001989098087f;
    p = fk_fma(p, r, 0.001393364103f);
    p = fk_fma(p, r, 0.008333310934f);
    p = fk_fma(p, r, 0.04166646501f);
    p = fk_fma(p, r, 0.1666666668f);
    p = fk_fma(p, r, 0.5f);
    return fk_fma(p, r * r, r);
}

static inline float fk_reduce_ln2(float x, float n) {
    float r = fk_fma(-n, fk_ln2_a, x);
    r = fk_fma(-n, fk_ln2_b, r);
    return fk_fma(-n, fk_ln2_c, r);
}

/* e^x; relative error below 1.2e-7. */
static inline float fk_exp(float x) {
    float y = fk_clamp(x, -104.0f, 89.0f);
    float n = __builtin_rintf(y * 1.44269504f);
    float e = fk_scale2(1.0f + fk_expm1_reduced(fk_reduce_ln2(y, n)), n);
    return x != x ? x : e;
}

/* e^x - 1; relative error below 2e-7. */
static inline float fk_expm1(float x) {
    float y = fk_clamp(x, -30.0f, 88.0f);
    float n = __builtin_rintf(y * 1.44269504f);
    float p = fk_expm1_reduced(fk_reduce_ln2(y, n));
    float s = fk_scale2(1.0f, n);
    float e = fk_fma(s, p, s - 1.0f);
    e = x > 88.0f ? fk_exp(x) : e;
    return x != x ? x : e;
}

/* ln x; relative error below 1.2e-7. */
static inline float fk_log(float x) {
    int tiny = x < 1.17549435e-38f;
    float y = tiny ? x * 8388608.0f : x;
    uint32_t u = fk_bits(y);
    int32_t e = (int32_t)((u - 0x3f3504f3u) & 0xff800000u);
    float m = fk_from_bits(u - (uint32_t)e); /* in [sqrt(1/2), sqrt(2)) */
    float n = (float)(e >> 23) - (tiny ? 23.0f : 0.0f);
    float f = m - 1.0f, s = f / (2.0f + f), z = s * s;
    float p = 0.1936531972f;
    p = fk_fma(p, z, 0.2219126286f);
    p = fk_fma(p, z, 0.2857175673f);
    p = fk_fma(p, z, 0.3999999879f);
    p = fk_fma(p, z, 0.6666666667f);
    /* ln m = f - (f^2/2 - s (f^2/2 + z p)), which keeps the bits of f */
    float h = 0.5f * f * f;
    float low = fk_fma(s, fk_fma(z, p, h), n * fk_ln2_c) + n * fk_ln2_b;
    float r = n * fk_ln2_a + (f - (h - low));
    r = x == 0.0f ? -FK_INF : r;
    r = x == FK_INF ? FK_INF : r;
    r = x < 0.0f ? FK_NAN : r;
    return x != x ? x : r;
}

/* ln(1 + x); relative error below 2e-7. */
static inline float fk_log1p(float x) {
    float u = 1.0f + x;
    float lost = x - (u - 1.0f); /* what the rounding of 1 + x dropped */
    float r = fk_log(u) + lost / u;
    r = u == 1.0f ? x : r;
    r = x == -1.0f ? -FK_INF : r;
    r = x == FK_INF ? FK_INF : r;
    return x != x ? x : r;
}

/* tanh x; relative error below 3e-7. */
static inline float fk_tanh(float x) {
    float a = __builtin_fabsf(x);
    float t = fk_expm1(-2.0f * a);
    float r = -t / (2.0f + t);
    return __builtin_copysignf(r, x);
}

/* 1 / (1 + e^-x); relative error below 3e-7. */
static inline float fk_sigmoid(float x) { return 1.0f / (1.0f + fk_exp(-x)); }

/* erf x; absolute error below 1.5e-7. */
static inline float fk_erf(float x) {
    float a = __builtin_fabsf(x), z = a * a;
    float p = -9.667044567e-6f;
    p = fk_fma(p, z, 0.0001126595902f);
    p = fk_fma(p, z, -0.0008484080405f);
    p = fk_fma(p, z, 0.005221031808f);
    p = fk_fma(p, z, -0.02686543073f);
    p = fk_fma(p, z, 0.112837825f);
    p = fk_fma(p, z, -0.3761263847f);
    p = fk_fma(p, z, 1.128379167f);
    float small = a * p;
    float t = fk_clamp(a, 1.0f, 4.1f) - 2.5f; /* -ln(erfc a) around 2.5 */
    float q = 8.813475906e-8f;
    q = fk_fma(q, t, -1.612678863e-6f);
    q = fk_fma(q, t, 1.286553983e-5f);
    q = fk_fma(q, t, -7.73995948e-5f);
    q = fk_fma(q, t, 0.0004208888914f);
    q = fk_fma(q, t, -0.002165154813f);
    q = fk_fma(q, t, 0.01085805531f);
    q = fk_fma(q, t, 0.9438936387f);
    q = fk_fma(q, t, 5.352680758f);
    q = fk_fma(q, t, 7.806815277f);
    float large = 1.0f - fk_exp(-q);
    float r = __builtin_copysignf(a < 1.0f ? small : large, x);
    return x != x ? x : r;
}

/* sin(x + quarter turns); absolute error below 1.2e-7 for |x| < 1e5. */
static inline float fk_sin_quarter(float x, int32_t quarter) {
    float n = __builtin_rintf(x * 0.636619772f);
    float r = fk_fma(-n, 0x1.92p+0f, x); /* pi/2 in three parts */
    r = fk_fma(-n, 0x1.fb4p-12f, r);
    r = fk_fma(-n, 0x1.4442d2p-24f, r);
    r = fk_clamp(r, -0.8f, 0.8f); /* beyond 1e5 digits are lost; the result stays within 1 */
    float z = r * r;
    float s = 2.724686872e-6f;
    s = fk_fma(s, z, -0.0001984006304f);
    s = fk_fma(s, z, 0.008333331831f);
    s = fk_fma(s, z, -0.1666666666f);
    s = fk_fma(s * z, r, r);
    float c = -2.729840724e-7f;
    c = fk_fma(c, z, 2.48005806e-5f);
    c = fk_fma(c, z, -0.001388888764f);
    c = fk_fma(c, z, 0.04166666666f);
    c = fk_fma(c * z, z, fk_fma(-0.5f, z, 1.0f));
    int32_t q = ((int32_t)fk_clamp(n, -1e9f, 1e9f) + quarter) & 3;
    float y = (q & 1) ? c : s;
    y = (q & 2) ? -y : y;
    return x - x != 0.0f ? FK_NAN : y;
}

static inline float fk_sin(float x) { return fk_sin_quarter(x, 0); }
static inline float fk_cos(float x) { return fk_sin_quarter(x, 1); }

static inline float fk_rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }

/* x^y by 2^(y log2 x) in f64; relative error below 1e-7 wherever the result is finite. */
static inline float fk_pow(float x, float y) {
    double a = __builtin_fabs((double)x);
    uint64_t u;
    memcpy(&u, &a, sizeof u);
    int64_t e = (int64_t)((u - 0x3fe6a09e667f3bcdull) & 0xfff0000000000000ull);
    u -= (uint64_t)e;
    double m;
    memcpy(&m, &u, sizeof m);
    double f = (m - 1.0) / (m + 1.0), z = f * f, p = 1.0 / 17;
    for (int k = 15; k >= 1; k -= 2) p = __builtin_fma(p, z, 1.0 / k);
    double log2x = __builtin_fma(2.0 * 1.4426950408889634 * f, p, (double)(e >> 52));
    double t = (double)y * log2x;
    t = t < -1000.0 ? -1000.0 : t;
    t = t > 1000.0 ? 1000.0 : t;
    double n = __builtin_rint(t), r = (t - n) * 0.6931471805599453, q = 1.0 / 39916800;
    static const double reciprocal_factorial[] = {
        1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
        1.0 / 362880, 1.0 / 3628800};
    for (int k = 10; k >= 0; k--) q = __builtin_fma(q, r, reciprocal_factorial[k]);
    uint64_t scale = (uint64_t)((int64_t)n + 1023) << 52;
    double s;
    memcpy(&s, &scale, sizeof s);
    float result = (float)(q * s);
    int whole = __builtin_rintf(y) == y;
    int odd = whole && __builtin_fabsf(y) < 16777216.0f && ((int32_t)y & 1);
    result = x == 0.0f ? (y > 0.0f ? 0.0f : FK_INF) : result;
    result = __builtin_fabsf(x) == FK_INF ? (y > 0.0f ? FK_INF : 0.0f) : result;
    result = x < 0.0f && !whole && x != -FK_INF ? FK_NAN : result;
    result = odd ? __builtin_copysignf(result, x) : result;
    int one = y == 0.0f || x == 1.0f || (x == -1.0f && __builtin_fabsf(y) == FK_INF);
    result = one ? 1.0f : result;
    return (x != x || y != y) && !one ? FK_NAN : result;
}

static inline float fk_square(float x) { return x * x; }

/* The remainder with the divisor's sign; exact where |a / b| < 2^23. */
static inline float fk_floormod(float a, float b) {
    float r = fk_fma(-__builtin_floorf(a / b), b, a);
    r = r != 0.0f && ((r < 0.0f) != (b < 0.0f)) ? r + b : r; /* the quotient was rounded up */
    r = __builtin_fabsf(b) == FK_INF ? (a != 0.0f && (a < 0.0f) != (b < 0.0f) ? b : a) : r;
    return a - a != 0.0f ? FK_NAN : r;
}

/* Integers wrap around, and a division by zero gives zero, as in NumPy: nothing here may trap. */
static inline int32_t fk_add_int(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
static inline int32_t fk_sub_int(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }
static inline int32_t fk_mul_int(int32_t a, int32_t b) { return (int32_t)((uint32_t)a * (uint32_t)b); }
static inline int32_t fk_max_int(int32_t a, int32_t b) { return a > b ? a : b; }
static inline int32_t fk_min_int(int32_t a, int32_t b) { return a < b ? a : b; }
static inline int32_t fk_neg_int(int32_t a) { return fk_sub_int(0, a); }
static inline int32_t fk_abs_int(int32_t a) { return a < 0 ? fk_neg_int(a) : a; }
static inline int32_t fk_sign_int(int32_t a) { return (a > 0) - (a < 0); }
static inline int32_t fk_floormod_int(int32_t a, int32_t b) {
    if (b == 0 || b == -1) return 0;
    int32_t r = a % b;
    return r != 0 && ((r < 0) != (b < 0)) ? r + b : r;
}
static inline int32_t fk_floordiv_int(int32_t a, int32_t b) {
    if (b == 0) return 0;
    if (b == -1) return fk_neg_int(a);
    int32_t q = a / b;
    return q * b != a && ((a < 0) != (b < 0)) ? q - 1 : q;
}
static inline int32_t fk_pow_int(int32_t x, int32_t y) {
    int32_t result = 1;
    for (; y > 0; y >>= 1, x = fk_mul_int(x, x))
        if (y & 1) result = fk_mul_int(result, x);
    return result;
}

/* Towards zero; what no integer holds is the least one, on every machine. */
static inline int32_t fk_int(float x) {
    return x >= -2147483648.0f && x < 2147483648.0f ? (int32_t)x : INT32_MIN;
}
static inline float fk_sign(float x) { return x != x ? x : (float)((x > 0.0f) - (x < 0.0f)); }

/* NaN wins, as in NumPy: a damaged value must not disappear in a maximum. */
static inline float fk_max(float a, float b) { return a > b || a != a ? a : b; }
static inline float fk_min(float a, float b) { return a < b || a != a ? a : b; }

/* The tree that ends every reduction: 16 virtual lanes, halved four times. */
static inline float fk_tree_sum(const float lane[16]) {
    float s[8];
    for (int i = 0; i < 8; i++) s[i] = lane[i] + lane[i + 8];
    for (int i = 0; i < 4; i++) s[i] += s[i + 4];
    for (int i = 0; i < 2; i++) s[i] += s[i + 2];
    return s[0] + s[1];
}

#endif
