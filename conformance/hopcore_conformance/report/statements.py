"""The statements of the specification in short, and the decorator that marks their checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Check = TypeVar("Check", bound=Callable[..., None])

STATEMENTS: dict[str, str] = {
    # E: energy and update (Ramsauer et al. 2021).
    "E.lse": "lse(beta, z) = log(sum_i exp(beta z_i)) / beta",
    "E.energy": "E(xi) = -lse(beta, X xi) + ||xi||^2/2 + log(N)/beta + M^2/2",
    "E.update": "f(xi) = X^T softmax(beta X xi)",
    "E.association": "association with pattern projections: V^T softmax(beta X xi)",
    "E.mask": "True = attend; patterns masked for a query count for nothing, neither in N nor in M",
    "E.causal": "the mask causal is the lower triangle: query i attends to the patterns 0 to i",
    "E.empty": "a query that may attend to nothing associates to zeros; its energy is +inf",
    "E.merge": "associations with the pieces of a memory merge exactly into that with the whole",
    "E.retrieval": "f is iterated until ||xi_{t+1} - xi_t|| <= tol M, at most max_steps times",
    "E.alone": "every query stops on its own: what it returns never depends on its batch-mates",
    "E.path": "a tracked path holds all states of the loop, the last one repeated, and their "
    "energies, which never rise",
    "E1": "0 <= E <= 2 M^2 in the convex hull of the patterns",
    "E2": "descent: E(xi) - E(f(xi)) >= ||f(xi) - xi||^2 / 2",
    "E3": "grad E = xi - f(xi): fixed points of f are the stationary points of E",
    "E4": "Jacobian of f = beta Cov_p(x), norm <= beta diam^2/4 and <= beta ||X||_2^2/2; "
    "beta diam^2 < 4 implies one global attractor",
    "E5": "dE/dbeta = -(log N - H(p))/beta^2 <= 0: a rising beta never raises the energy",
    "E6": "||f(xi) - x_i|| <= 2 (N-1) M exp(-beta (Delta_i - 2 r M))",
    # F: separation functions (Santos et al. 2024).
    "F.weights": "the weights are argmax_y <y, z> - Omega(y) over the simplex, alpha in (1, 50]",
    "F.softmax": "softmax: w_i = exp(z_i) / sum_j exp(z_j)",
    "F.sparsemax": "sparsemax is the closed form that sorting gives",
    "F.entmax15": "1.5-entmax is the closed form that sorting gives",
    "F.limit": "alpha-entmax tends to the softmax as alpha tends to 1, with a bound in each "
    "direction",
    "F.permutation": "weights follow their patterns under a permutation",
    "F.conjugate": "the conjugate is <w, z> - Omega(w); its gradient is the weights",
    "F.jacobian": "the Jacobian of the weights is diag(s) - s s^T / sum(s), s = w^(2-alpha)",
    "F.reach": "a score 1/(alpha-1) or more below the largest gets weight exactly 0",
    "F.orders": "an alpha that is an array gives each query the weights and conjugate of its own "
    "alpha, 1 those of the softmax",
    "F.alpha": "the derivatives of weights and conjugate by alpha, with their limits at 1",
    "F.learned": "a learned alpha is 1 + sigmoid(theta), starts as it is set, and each head obeys "
    "its own",
    "F.loss": "entmax_loss = Omega*(z) - z_y: never negative, 0 at the margin, with the gradient "
    "w - e_y",
    "F.energy": "E = -L_Omega(beta X xi; 1/N)/beta + ||xi - mean||^2/2 + (M^2 - ||mean||^2)/2",
    "F1": "descent as in E2, for every alpha",
    "F2": "0 <= E <= min(2 M^2, -Omega(1/N)/beta + M^2/2) in the hull",
    "F3": "margin m = 1/(alpha-1): x_i is an exact fixed point iff Delta_i >= m/beta, and a query "
    "with xi.(x_i - x_j) >= m/beta for all j retrieves x_i exactly in one step",
    "F4": "normmax: w = q / sum(q), q_i = max(z_i - tau, 0)^(1/(alpha-1)) with ||q||_alpha = 1, "
    "maximises <w, z> - ||w||_alpha + 1 = tau + 1, with its Jacobian; energy, F1, F2",
    "F5": "normmax: a score 1 or more below the largest gets weight exactly 0, so a pattern "
    "with that margin is retrieved exactly in one step",
    # C: memories of two convex functions (Krotov and Hopfield 2021).
    "C.lagrangian": "L(u) + L*(g) = <g, u> for the activation g of u, and L(u) + L*(h) >= <h, u> "
    "for the activation h of any other input",
    "C.energy": "E(xi) = Psi(xi) - Phi(X xi), and the update is grad Psi*(X^T grad Phi(X xi))",
    "C.descent": "an update lowers E by at least the Bregman distance D_Psi(xi, f(xi))",
    "C.modern": "log-sum-exp and a quadratic state are the modern Hopfield network",
    "C.layers": "the update of one layer is the minimum of the energy over that layer",
    "C.classical": "asynchronous updates never raise -xi^T W xi / 2, and end where none changes it",
    "C.certain": "a state goes to a pattern of signs, and stays, if the activation of this pattern "
    "outweighs all others together",
    # L: the energy transformer block (Hoover et al. 2023).
    "L.energy": "the energy of a block is that of its attention without values and of its "
    "rectified memory",
    "L.step": "a step moves tokens along minus the gradient of the energy by the normalised "
    "tokens, computed by two associations",
    "L.descent": "the energy does not rise along a step: dE/dt = -v^T (dg/dx) v <= 0",
    "L.padding": "padding neither asks nor answers, is never read, and stays as it is",
    # K: k-subsets (Santos et al. 2024).
    "K6": "k-subsets: w_i = min(max(z_i - tau, 0), 1)/k with the conjugate whose gradient they "
    "are; descent as in F1",
    "K7": "k-subsets: the exact mean of the k largest iff z_(k) - z_(k+1) >= 1; k = 1 is "
    "sparsemax, k >= N gives 1/N",
    # K: compact kernels (Hoover et al. 2025).
    "K.compact": "kernels r = relu(1 - beta/2 ||xi - x_i||^2): weights r^(p-1) / sum r^(p-1), "
    "E = -log(sum r^p)/beta; distances are needed, and no bias is taken",
    "K.reach": "a state in reach of no pattern has weights 0 and energy +inf, and it stays",
    "K4": "grad E = p (sum r^(p-1) / sum r^p) (xi - f(xi)); an update raises sum r^p by at least "
    "(beta/2) p (sum r^(p-1)) ||step||^2, and for p = 1 retrieval ends exactly",
    "K5": "minima for p = 1 are the means of the sets S(mean) = set: a pattern that is alone in "
    "its radius, and emergent memories",
    # H: statistics of association weights.
    "H.entropy": "the entropy of a query's weights, -sum_i w_i log w_i; for the softmax "
    "l - beta xi.f(xi)",
    "H.effective": "the effective number of patterns, 1 / sum_i w_i^2; for the softmax "
    "exp(2 l(beta) - l(2 beta))",
    "H.largest": "the largest weight; for the softmax exp(max_i z_i - l)",
    "H.received": "what a pattern receives: the sum of its weights over all queries",
    "H.energy": "log-sum-exp and energy beside them are those of the functions",
    "H.order": "1 <= 1/max w <= effective number <= exp(entropy) <= N; patterns receive as many "
    "as there are queries with something to attend to",
    "H.empty": "a query that may attend to nothing has entropy, effective number and largest "
    "weight 0, log-sum-exp -inf and energy +inf; masked patterns receive 0",
    "H.sharp": "a small entropy is as exact as a large one: its error is relative to it",
    "H.gradient": "derivatives are those of the formulas, and finite everywhere",
    "H.parts": "statistics of a memory in parts are those of the whole, however it is divided",
    "H.layer": "statistics of a layer are those of the weights of its forward pass",
    # K: scores by distance, biases, known coordinates.
    "K.scores": "scores are beta x_i.xi + b_i or -beta/2 ||xi - x_i||^2 + b_i; weights, "
    "association, statistics are those of these scores",
    "K1": "by distance E = -Omega*(-beta/2 ||xi - x_i||^2 + b_i)/beta, for the softmax between "
    "d_min^2/2 - log(N)/beta and d_min^2/2; grad E = xi - f(xi), descent as in E2",
    "K.cooling": "by distance 0 <= dE/dbeta = -Omega(p)/beta^2 <= -Omega(1/N)/beta^2",
    "K2": "distances do not change when patterns and states are moved together; among patterns of "
    "one length they are dot products",
    "K.distinct": "||f(xi) - x_i|| <= 2 (N-1) M exp(-beta (Delta_i - 2 r M)) with Delta_i = "
    "min_j ||x_i - x_j||^2/2: no distinct pattern is lost; sparse ones are exact from m/beta on",
    "K.posterior": "f(xi) is the posterior mean of x given xi = x + noise, beta = 1/sigma^2, prior "
    "exp(b)",
    "K3": "rounding is relative to distances from the mean: far from 0 as near it",
    "K.bias": "a bias of log n is n copies; a constant bias changes no weight, and moves the "
    "energy by -b/beta; its leading axes broadcast",
    "K.numbers": "a mask of numbers is a bias of each query's own; -inf is what False is",
    "K.features": "random features: an unbiased sum of kernels with a measured error, its energy "
    "and its update",
    "K.merge": "parts by distance and with biases merge into the whole",
    "K.masked": "masked patterns have no influence, and none on the origin",
    "K.unit": "M, in which tol is measured, is the largest distance of an attended pattern from "
    "the mean",
    "K.index": "index is the pattern of the largest score at the end, -1 if there is none",
    "K.certain": "certain is the weight of index, the largest association weight at the end, 0 if "
    "there is none",
    "K.known": "known coordinates stay exactly as they are",
    "K.ignore": "ignore: only known coordinates are compared; what the others hold is never read",
    "K.settle": "settle: unknown coordinates alone are updated, which lowers the energy by half of "
    "the squared step",
    "K.metric": "a metric W: the energy of W xi in X W^T, updates X^T w(beta X W^T W xi), which "
    "lower it by half the squared length of W (f(xi) - xi); the separation loss",
    "K.gradient": "derivatives by state, patterns, beta and bias are those of the formulas",
    # G: graphs over patterns.
    "G.similarity": "similarity is the cosine, negatives set to 0, 0 on the diagonal",
    "G.knn": "an edge exists iff either end chose it among its k most similar, with weight S_ij; "
    "k >= N means N - 1",
    "G.laplacian": "D - W; D^-1/2 (D - W) D^-1/2; D^-1 (D - W); rows of isolated nodes are zero",
    "G.batch": "each element of a batch has its own graph; masked patterns are isolated nodes",
    "G.convert": "a graph survives its conversions: edges, dense, SciPy; sparse and dense agree",
    "G.gradient": "gradients go through the weights of edges, not through the choice of neighbours",
    "G1": "D - W is symmetric and positive semi-definite, and its rows sum to 0",
    "G2": "lambda_max(D - W) <= 2 max(deg); normalised <= 2",
    "G3": "tr(X^T L X)/2 = sum_{i<j} w_ij ||x_i - x_j||^2 / 2",
    # D: diffusion operators.
    "D.explicit": "simple, iterative, factored: (I - eta L)^T x for every normalisation",
    "D.heat": "spectral and chebyshev: exp(-eta L) x for every normalisation",
    "D.implicit": "implicit: (I + eta L)^-1 x for every normalisation, stable for every eta",
    "D.linear": "operators are linear, act on each sample alone, and leave isolated nodes as they "
    "are",
    "D.gradient": "derivatives by the features and by the weights are those of the formula",
    "D.refused": "an eta with which explicit steps grow is refused with the bound",
    "D1": "explicit: non-expansive iff eta <= 2/lambda_max; maximum principle iff "
    "eta <= 1/max(deg)",
    "D2": "conserved: the mean (unnormalised), (D^1/2 1)^T x (symmetric), deg^T x (random walk)",
    "D3": "heat kernels compose; heat kernel and resolvent of D - W are doubly stochastic",
    "D4": "sup error of the Chebyshev series: 2 sum_{k>K} e^-a I_k(a), a = t lambda_max/2",
    # J: diffusion-augmented retrieval.
    "J0": "untied: keys diffused T times, then one association softmax(beta Q K'^T) V",
    "J1": "E_0(xi; D X) >= E_0(xi; X) for every doubly stochastic D and every xi; E_0 is E without "
    "log(N)/beta + M^2/2",
    "J2": "diffusing the memory can create minima",
    "J3": "diffused keys with values as given can cycle with period 2",
    "J4": "tied: retrieval from D X, with everything that holds of a memory",
    "J5": "evolving: E_0(xi; K) + alpha tr(K^T L K)/2 never rises in either half-step, for "
    "alpha = beta M^2 / (2 lambda_2), which is sharp",
    "J7": "on a complete graph the effective inverse temperature after time t is "
    "b exp(-2 lambda t)",
    "J8": "eta sigmoid(temperature (H - threshold)), H the entropy before diffusion",
    "J9": "logit diffusion: weights diffused, clipped at 0, renormalised over what is attended to",
    "J10": "graph-constrained: a query attends to its anchor and the anchor's neighbours only",
    "J.limit": "eta -> 0 is continuous with no diffusion, in every mode",
    "J.distance": "distances, biases and masks of numbers are those of the diffused keys",
    "J.alone": "a sample never depends on its batch-mates, nor on what is masked",
    "J.cache": "a cached graph is that of the content asked for",
    "J.energy": "the tracker records the true energies, and stops a sample on its own",
    # L: layers.
    "L1": "a layer normalises, projects, associates in heads, joins and projects its output",
    "L2": "the parameters of a layer, their names, shapes and first values, follow from settings",
    "L3": "update_steps_max = n: at most n updates before the recall, of each query by itself",
    "L4": "layers: True = not attended, numbers are added to scores; what is masked has no "
    "influence",
    "L5": "a query that may attend to nothing gives the output projection's bias, and no nan",
    "L6": "samples do not know of each other; leading axes broadcast; batch_first=False transposes",
    "L7": "outputs follow their queries, and do not see the order of the stored patterns",
    "L8": "association weights sum to 1, and with the values of the heads give the output",
    "L9": "dropout acts on the association weights of each head, once, before the values",
    "L10": "pooling has learned queries, lookup a learned memory, the same for every sample",
    "L11": "a transformer layer is residual branches around Hopfield layers and two linear maps",
    "L12": "a diffused layer diffuses the keys over the graph of the normalised stored patterns",
    "L13": "a diffused layer tends to the plain one as eta tends to 0",
    "L14": "masked patterns and other samples do not reach a query through the graph",
    "L15": "settings survive their dictionary; unknown names are refused",
    "L16": "the modules of a library are the functions",
    "L17": "derivatives of a layer by parameters and patterns are those of the formula",
    "L18": "association weights of a layer are those of its forward pass: they give its output",
    # P: the temperature phase transition of a memory.
    "P1": "N equidistant patterns: b = beta Delta^2/2; along p_1 - p_j = s the update is "
    "(e^{bs} - 1)/(e^{bs} + N - 1), whose transition is at b_sn, b_co and b_sp",
    "P2": "of the real update: patterns become minima at b_sn, have the centroid's energy at b_co, "
    "and the centroid is a minimum for beta lambda_max(Cov(X)) < 1 and none above, at b = N for "
    "equidistant ones",
    "P3": "equidistant patterns have no other minima than patterns and centroid: mixtures of "
    "k of them, 2 <= k < N, are saddles",
    "P4": "normalised divergence: the mean eigenvalue of the Hessian in the hull, "
    "1 - b (1 - ||p||^2)/(N-1) for equidistant patterns; the radius: the largest of the Jacobian",
    "P5": "the effective scale, a definition: mean_{i<j} ||x_i - x_j||^2 / 2",
    "P6": "critical betas of any patterns: those of the theory where they are equidistant; "
    "a pattern keeps 0.55 of the weight above its own, and not below",
    "P7": "minima: fixed points, each once, their basins and shares, stable iff the radius is < 1",
    "P8": "a sweep: heated and cooled states differ between b_sn and b_sp, and nowhere else",
    "P9": "a suggested beta goes with 1/c^2, and what it promises of one update holds",
    # S: schedules of temperature.
    "S1": "linear a + (b-a) t; cosine b + (a-b)(1 + cos(pi t))/2; exponential a exp(t ln(b/a))",
    "S2": "monotone between a and b; at the end exactly b, and b past it",
    "S3": "geometric: a gamma^floor(n/m), and never 0",
    "S4": "never below the floor; constant from freeze_after on; at its start for warmup steps",
    "S5": "integers, arrays and traced steps agree; an array is worked off element by element",
    "S6": "joined: the first before a step, then the second from its own step 0",
    "S7": "a schedule survives its dictionary",
    "S8": "phase-aware: ln T is piecewise linear, at least a share of the steps in the transition",
    # T: learnable temperatures.
    "T1": "T = softplus(theta), which starts at factor sqrt(d_h) exactly",
    "T2": "T is positive and finite for every finite theta",
    "T3": "a layer with a learnable temperature is the layer with scaling 1/T, in each head",
    "T4": "a shared temperature multiplies all of a layer",
    "T5": "the derivative by theta is that of the formula",
    "T6": "profiles: where the temperatures of a stack start",
    # N: networks of learned memories.
    "N1": "a Hopfield network layer is a lookup whose scores are correlations / T",
    "N2": "soft tends to hard where one score is the largest, and to the mean of k that tie: "
    "within 2 (S-k) exp(-gap) / k",
    "N3": "hard: each head recalls the memory of its largest score",
    "N4": "straight through: 1 at the first largest, zeros stay; the gradient is that of the soft",
    "N5": "the order of the memory does not matter, unless largest weights are equal and hard",
    "N6": "a Hopfield network is its layers, one after another, at one temperature",
    "N7": "T is a number, an array () or traced; outputs and gradients are finite for every T > 0",
    "N8": "noise is added to the scores / T: hard then chooses their largest sum",
    # Q: quantisers.
    "Q1": "soft values are mixtures of codes by softmax(-||z - c||^2 / T)",
    "Q2": "hard values are the nearest code of each group, and codes say which",
    "Q3": "hard: the gradient by features is the identity, by codes zero; soft: that of the "
    "formula",
    "Q4": "commitment: the mean of (z - c)^2 pulls the codes, and `commitment` times the features",
    "Q5": "divergence: -ln max w, its mean; 0 as T tends to 0",
    "Q6": "groups are independent; the order of codes does not matter, unless nearest ones tie",
    # M: memories in parts.
    "M1": "a memory in parts gives what the whole gives, however it is divided",
    "M2": "parts are joined by numbers of their queries: no pattern leaves its part",
    "M3": "an update by the softmax takes each pattern once",
    "M4": "what cannot be done with a part, or is not finite in one, is refused, and says where",
    # R: prepared memories.
    "R.plain": "a prepared memory with error 0 returns what its patterns return",
    "R.changes": "after any changes, results are those of a memory made of what is left; snapshots "
    "stay as they were",
    "R.empty": "a memory without patterns associates to zeros, and its energies are +inf",
    "R1": "no association is farther from the exact one than its certificate, with all roundings",
    "R2": "with entmax, only patterns of weight 0 are left out",
    "R3": "a pattern that is left out scores at most log(tau) more than the best pattern",
    "R4": "a further query is refused with a probability of at most the share of false alarms",
    "R5": "clusters that become their means with biases log n move an association by at most the "
    "bound of their second moments",
    "R6": "certificates hold for streamed patterns, of which none is read that need not be",
    # A: what an input may be, and what comes back.
    "A.single": "a state (d,) is one query: results are those of (1, d), without that axis",
    "A.convert": "lists, integers, NumPy arrays, mixed dtypes are converted; no value changes",
    "A.type": "to the core: not an array, not real floating, two libraries or dtypes: TypeError",
    "A.shape": "shapes that do not fit: ValueError that names both",
    "A.value": "nan, inf, beta <= 0, alpha <= 1, unknown names, bad options: an error that says so",
    "A.masked": "what no query may attend to is never read: values and derivatives are those of "
    "the memory without it, whatever it holds",
    "A.kind": "results have the library, device and dtype of the input; energies at least float32",
    "A.unchanged": "inputs are never written to, read-only ones are welcome",
    # B: what every backend owes.
    "B.batch": "leading axes broadcast, and give what a loop over them gives",
    "B.beta": "beta per query, per head or batched gives what a loop over its values gives",
    "B.blocks": "a memory too large for one block gives what small blocks give",
    "B.long": "rounding does not grow with the number of stored patterns",
    "B.extreme": "finite: beta 1e-6 to 1e6, norms 1e-20 to 1e15, one pattern, copies, d = 1, L = 0",
    "B.half": "results lie within a few eps of the float64 results of the same inputs",
    "B.gradient": "automatic derivatives are those of the formula, and finite everywhere",
    "B.ties": "of equal scores the first is taken, by every library and in every division",
    "B.kinks": "where a formula has no derivative, every library takes the one of the table",
    "B.implicit": "gradient='implicit' is the unrolled gradient at a fixed point",
}
"""Identifier and text of every statement that the suite checks."""


def statement(*identifiers: str) -> Callable[[Check], Check]:
    """Mark a check with the statements it verifies.

    Raises
    ------
    KeyError
        No such statement.
    """

    def mark(check: Check) -> Check:
        vars(check)["statements"] = {name: STATEMENTS[name] for name in identifiers}
        return check

    return mark
