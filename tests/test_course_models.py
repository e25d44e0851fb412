"""Wrong answers to the exercises of chapters 20 to 50, and the hints that must come."""

import pytest
from test_course import WRONG as FIRST
from test_course import check_answers

from medlib.course.exercises import list_exercises

# Exercise -> task -> (code that a learner might write below the scaffold, words of the hint that has to come).

WRONG = {
    "E20": {
        1: [("held = 100 * float(paired['observed'].between(paired[0.1], paired[0.9]).mean())", "not a percentage"),
            ("held = float((paired['observed'] <= paired[0.9]).mean())", "lower end"),
            ("held = float(paired['observed'].between(paired[0.25], paired[0.75]).mean())", "columns 0.1 and 0.9"),
            ("inside = paired['observed'].between(paired[0.1], paired[0.9])\nheld = inside.mean()\n"
             "by_site = inside.groupby(paired['site']).sum()", "share of its own rows")],
        2: [("gaps = {l: paired['observed'] - paired[l] for l in levels}\n"
             "costs = pd.Series({l: g.abs().mean() for l, g in gaps.items()})\nbest = costs.idxmin()", "cost the same"),
            ("gaps = {l: paired['observed'] - paired[l] for l in levels}\n"
             "costs = pd.Series({l: (g.clip(lower=0) + 4 * (-g).clip(lower=0)).mean() for l, g in gaps.items()})\n"
             "best = costs.idxmin()", "swapped"),
            ("gaps = {l: paired['observed'] - paired[l] for l in levels}\n"
             "costs = pd.Series({l: (4 * g.clip(lower=0) + (-g).clip(lower=0)).mean() for l, g in gaps.items()})\nbest = 0.5",
             "lowest")],
        3: [("enough = float((paired['observed'] <= paired[0.9]).mean())", "single sites"),
            ("t = paired.groupby(['as_of', 'date'])[['observed', 0.5, 0.9]].sum()\nenough = float((t['observed'] <= t[0.9]).mean())\n"
             "separate = float((paired[0.9] - paired[0.5]).mean())", "whole network"),
            ("t = paired.groupby(['as_of', 'date'])[['observed', 0.5, 0.9]].sum()\nenough = float((t['observed'] <= t[0.9]).mean())\n"
             "separate = float((t[0.9] - t[0.5]).mean())\npooled = t['observed'].quantile(0.9) - t[0.5].mean()",
             "Take each day's difference")],
    },
    "E21": {
        1: [("from scipy.signal import convolve2d\nanswer = convolve2d(picture, scratch, mode='valid').clip(min=0)\n"
             "found = answer.max()", "turn the filter"),
            ("from scipy.signal import correlate2d\nanswer = correlate2d(picture, scratch, mode='same').clip(min=0)\n"
             "found = answer.max()", "inside the picture"),
            ("from scipy.signal import correlate2d\nanswer = correlate2d(picture, scratch, mode='valid')\nfound = answer.max()",
             "Negative answers"),
            ("from scipy.signal import correlate2d\nanswer = correlate2d(picture, scratch, mode='valid').clip(min=0)\n"
             "found = answer.mean()", "largest answer")],
        2: [("said = judge.predict(checked) == 0\nkept = (checked_true == 0)[said].mean()", "other way round"),
            ("kept = 97.0", "shares from 0 to 1"),
            ("said = judge.predict(checked) == 0\nkept, slipped = said[checked_true == 0].mean(), said[checked_true != 0].mean()\n"
             "called = (judge.predict(fleet) == 0).sum()\ncorrected = called / kept", "take them off"),
            ("called = (judge.predict(checked) == 0).sum()", "panels of fleet")],
        3: [("in_vain = pd.Series(0.05, index=shares)", "depends on how many"),
            ("counted = pd.Series({s: finds * s for s in shares})", "count, too"),
            ("in_vain = pd.Series({s: false * (1 - s) for s in shares})", "Divide by all walks"),
            ("unbiased = 0.5", "as many are called broken")],
    },
    "E22": {
        1: [("gate = 0.5 ** 7", "asked is the gate"),
            ("gate = 1 - 0.5 / 7", "by a factor"),
            ("gate = 0.5 ** (1 / 7)\ndays_left = 14", "more than a tenth"),
            ("gate = 0.5 ** (1 / 7)\ndays_left = 70", "a day earlier")],
        2: [("above_half = int((risk > 0.5).sum())\nexpected = risk.mean()", "asked is their number"),
            ("above_half = int((risk > 0.5).sum())\nexpected = above_half", "add up"),
            ("above_half = int((risk > 0.5).sum())\nexpected = risk.sum()\nbeds = int(expected)", "a margin"),
            ("above_half = int((risk > 0.5).sum())\nexpected = risk.sum()\nbeds = int(expected / 0.9) + 15", "Fewer beds")],
        3: [("draw, held = np.random.default_rng(1), {}\nfor size, odds in units.items():\n"
             "    p = share(odds + draw.normal(0, 0.5, (2000, len(odds))))\n    n = (draw.random(p.shape) < p).sum(axis=1)\n"
             "    held[size] = ((n >= lower[size]) & (n <= upper[size])).mean()\nheld = pd.Series(held)\nworst = 20",
             "share one shift"),
            ("held = pd.Series({20: 90.0, 100: 70.0, 500: 40.0})\nworst = 500", "shares from 0 to 1"),
            ("held = pd.Series({20: 0.95, 100: 0.9, 500: 0.7})\nworst = 500", "One shift a winter")],
    },
    "E23": {
        1: [("s = queries @ keys.T / np.sqrt(2)\nattention = np.exp(s) / np.exp(s).sum(axis=0)", "not the columns"),
            ("s = queries @ keys.T\nattention = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)", "root of the keys"),
            ("s = queries @ keys.T / np.sqrt(2)\nattention = s / s.sum(axis=1, keepdims=True)", "exponential"),
            ("s = queries @ keys.T / np.sqrt(2)\nattention = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)\n"
             "mixed = attention.T @ values", "shares of its row")],
        2: [("threshold = read_cost / error_cost", "chance of being right"),
            ("threshold = 0.98", "equals the cost of reading"),
            ("threshold = 1 - read_cost / error_cost\nby_people = (lines['probability'] >= threshold).mean()", "left to people"),
            ("threshold = 1 - read_cost / error_cost\nby_people = (lines['probability'] < threshold).mean()\n"
             "minutes = 2.0 * by_people", "when they are wrong"),
            ("threshold = 1 - read_cost / error_cost\nby_people = (lines['probability'] < threshold).mean()\n"
             "minutes = 2.0 * by_people + 25.0 * (~lines['right']).mean()", "costs nothing more")],
        3: [("a, b = (attend(np.array([vectors[w] for w in l])) for l in (first, second))\napart = np.abs(a - b).max()", "mean over the words"),
            ("can_tell = True", "rounding errors"),
            ("a, b = (np.array([vectors[w] for w in l]) for l in (first, second))\n"
             "apart = np.abs(attend(a).mean(axis=0) - attend(b).mean(axis=0)).max()\napart_placed = apart", "before attending"),
            ("a, b = (np.array([vectors[w] for w in l]) for l in (first, second))\n"
             "apart = np.abs(attend(a).mean(axis=0) - attend(b).mean(axis=0)).max()\n"
             "apart_placed = np.abs(attend(a + places).mean(axis=0) - attend(b + places[::-1]).mean(axis=0)).max()",
             "first row of places")],
    },
    "E24": {
        1: [("units = pool * highest / highest.sum()", "needed more often"),
            ("units = 0.5 * highest - capacity", "Some of the pool is left"),
            ("units = (1 - move_cost) * highest - capacity", "than the pool holds"),
            ("price = ((highest - capacity).sum() - pool) / highest.sum()", "moving it costs")],
        2: [("error = pd.Series({n: abs((f - demand).mean()) for n, f in forecasts.items()})", "cancel"),
            ("error = pd.Series({n: ((f - demand) ** 2).mean() ** 0.5 for n, f in forecasts.items()})", "absolute difference"),
            ("s = np.maximum(demand - usual, 0)\n"
             "regret = pd.Series({n: (s.sum(axis=1) - np.minimum(s, team)[np.arange(600), (f - usual).argmax(axis=1)]).mean() "
             "for n, f in forecasts.items()})",
             "That is the cost"),
            ("g = np.minimum(np.maximum(demand - usual, 0), team)\n"
             "regret = pd.Series({n: (g.max(axis=1) - g[np.arange(600), f.argmax(axis=1)]).mean() for n, f in forecasts.items()})",
             "largest site"),
            ("s = np.maximum(demand - usual, 0)\n"
             "regret = pd.Series({n: (s.max(axis=1) - s[np.arange(600), (f - usual).argmax(axis=1)]).mean() for n, f in forecasts.items()})",
             "no more than team")],
        3: [("extra = pd.Series(-0.1, index=bed_costs)", "can't be cheaper"),
            ("p = lambda b, c: np.maximum(later - b, 0).mean() + c * np.maximum(b - later, 0).mean()\n"
             "extra = pd.Series({c: p(shown.mean(), c) / min(p(b, c) for b in range(121)) - 1 for c in bed_costs})",
             "also when it is needed"),
            ("p = lambda b, c: np.maximum(later - b, 0).mean() + c * b\n"
             "extra = pd.Series({c: p(shown.mean(), c) - min(p(b, c) for b in range(121)) for c in bed_costs})", "Divide by"),
            ("p = lambda b, c: np.maximum(later - b, 0).mean() + c * b\n"
             "extra = pd.Series({c: p(np.median(shown), c) / min(p(b, c) for b in range(121)) - 1 for c in bed_costs})",
             "imitator's number"),
            ("fair = 0.1", "smallest extra"),
            ("extra_more = 0.0", "same later days")],
    },
    "E25": {
        1: [("by_medians = 25 * np.median(draws, axis=1).sum()", "neither minutes"),
            ("by_medians = 25 / 60 * draws.mean(axis=1).sum()", "each person's median"),
            ("by_means = 25 / 60 * draws.mean()", "summed over people"),
            ("promised = 25 / 60 * np.quantile(draws, 0.9, axis=1).sum()", "bad year at once"),
            ("promised = 0.9 * 25 / 60 * draws.mean(axis=1).sum()", "more than the mean")],
        2: [("nobody = (people['visits'] >= 10).mean()", "most people"),
            ("n = people['visits'] >= 10\nfound = n[people['risk'].nlargest(80).index].mean()", "gives hit"),
            ("n = people['visits'] >= 10\nfound = (n & (people['risk'] > 0.5)).sum() / n.sum()", "filled by rank"),
            ("n = people['visits'] >= 10\nhit = n[people['risk'].nlargest(80).index].sum() / n.sum()", "over the places"),
            ("n = people['visits'] >= 10\nfound_last = n[people['last_visits'].nlargest(80).index].mean()", "for the risk"),
            ("n = people['visits'] >= 10\nfound = n[people['risk'].nlargest(80).index].sum() / n.sum()\ngain = found / n.mean()", "A lot finds")],
        3: [("f = forest.fit(register[['income', 'distance_km']], register['visits'])\n"
             "by_row = r2_score(register['visits'], f.predict(register[['income', 'distance_km']]))", "held out"),
            ("by_row = r2_score(register['visits'], cross_val_predict(forest, register[['income', 'distance_km']], register['visits'], cv=5))",
             "sorted by family"),
            ("by_row = r2_score(register['visits'], cross_val_predict(forest, register[['income', 'distance_km']], register['visits'], "
             "cv=KFold(5, shuffle=True, random_state=1)))\n"
             "by_row = by_row / 2", "rows shuffled"),
            ("by_family = 0.6", "hand over the groups"),
            ("by_row_coarse = 0.6", "both columns rounded"),
            ("believe = 'by_row'", "families never seen")],
    },
    "E26": {
        1: [("owned = lines['pieces'][lines['probability'] > 0.5].sum()", "line by line"),
            ("owned = lines['probability'].sum()", "as many devices"),
            ("used = (lines['probability'] * lines['broken'] * lines['pieces']).sum()", "asked is the rest"),
            ("dearest = 2", "how many pieces hang"),
            ("dearest = 1", "has the variance")],
        2: [("sd_one = 1600 * 0.8 * 0.2", "asked is its root"),
            ("sd_one = np.sqrt(0.8 * 0.2)", "forty times"),
            ("sd_forty = 40 * np.sqrt(0.8 * 0.2)", "variances add up"),
            ("half = 2", "root of their number"),
            ("half = 20", "Fewer lines")],
        3: [("draw = np.random.default_rng(1)\nheld = {}\nfor n in numbers:\n    s = draw.binomial(n, at_hand, 2000) / n\n"
             "    held[n] = (abs(s - at_hand) <= 1.645 * np.sqrt(s * (1 - s) / n)).mean()\nheld = pd.Series(held)",
             "before the camera"),
            ("held = pd.Series({20: 90, 50: 80, 200: 50, 500: 20})", "from 0 to 1"),
            ("by_lot = pd.Series(0.3, index=numbers)", "true share"),
            ("better = '500 at hand'", "Compare how often"),
            ("draw = np.random.default_rng(1)\n"
             "held = pd.Series({n: (abs(draw.binomial(n, at_hand, 2000) / n - works) <= 1.645 * np.sqrt(works * (1 - works)) / n).mean() "
             "for n in numbers})",
             "form the interval")],
    },
    "E30": {
        1: [("met = stays['patient'][~shuffled].isin(stays['patient'][shuffled]).mean()", "other way round"),
            ("met = np.isin(stays['patient'][shuffled].unique(), stays['patient'][~shuffled]).mean()", "Count rows"),
            ("met = stays['patient'][shuffled].isin(stays['patient'][~shuffled]).mean()\ntest = shuffled", "draw patients"),
            ("met = stays['patient'][shuffled].isin(stays['patient'][~shuffled]).mean()\ntest = (stays['patient'] < 150).to_numpy()",
             "between 15 and 25")],
        2: [("g = np.random.default_rng(1)\na = losses['old'].to_numpy()[g.integers(0, 40, (2000, 40))].mean(axis=1)\n"
             "b = losses['new'].to_numpy()[g.integers(0, 40, (2000, 40))].mean(axis=1)\n"
             "low, high = np.quantile(b / a, [0.025, 0.975])\nproven = bool(high < 1)", "Far too wide"),
            ("d = np.random.default_rng(1).integers(0, 40, (2000, 40))\nm = losses.to_numpy()[d].mean(axis=1)\n"
             "low, high = np.quantile(m[:, 0] / m[:, 1], [0.025, 0.975])\nproven = True", "new over old"),
            ("d = np.random.default_rng(1).integers(0, 40, (2000, 40))\nm = losses.to_numpy()[d].mean(axis=1)\n"
             "low, high = np.quantile(m[:, 1] / m[:, 0], [0.25, 0.75])\nproven = True", "as many drawn dates")],
        3: [("reported = np.abs(KNeighborsRegressor(1).fit(day, beds).predict(day[mask]) - beds[mask]).mean()", "finds itself"),
            ("reported = np.abs(KNeighborsRegressor(1).fit(day[mask], beds[mask]).predict(day[~mask]) - beds[~mask]).mean()",
             "learn where mask is False"),
            ("reported = np.abs(KNeighborsRegressor(1).fit(day[~mask], beds[~mask]).predict(day[mask]) - beds[mask]).mean()\n"
             "real = np.abs(KNeighborsRegressor(1).fit(day[cut:], beds[cut:]).predict(day[:cut]) - beds[:cut]).mean()",
             "Forward means"),
            ("reported = np.abs(KNeighborsRegressor(1).fit(day[~mask], beds[~mask]).predict(day[mask]) - beds[mask]).mean()\n"
             "real = np.abs(KNeighborsRegressor(1).fit(day[:cut], beds[:cut]).predict(day[cut:]) - beds[cut:]).mean()\n"
             "rival = np.abs(np.diff(beds)).mean()", "two weeks before")],
    },
    "E31": {
        1: [("c = forest[forest['state'] == 'complete'].set_index('trial')['relative_wis']\nbest = c.idxmax()", "lower WIS"),
            ("promise = forest['relative_wis'][forest['state'] == 'complete'].min()", "relative to the default"),
            ("c = forest[forest['state'] == 'complete'].set_index('trial')['relative_wis']\npromise = 1 - c.min() / c[0]", "ratio itself")],
        2: [("searched = list(days[:5])", "Two dates searched"),
            ("held_out = list(days[-8 * 14::14])", "beyond the data"),
            ("p = [350 - 14 * b for b in range(13)][::-1]\nheld_out = [days[i] for i in p[:8]]\nsearched = [days[i] for i in p[8:]]", "come after"),
            ("p = [350 - 14 * b for b in range(8)][::-1]\nheld_out = [days[i] for i in p]\n"
             "searched = [days[p[0] - 7 - 14 * b] for b in range(5)]", "The search has seen"),
            ("p = [336 - 14 * b for b in range(13)][::-1]\nsearched, held_out = [days[i] for i in p[:5]], [days[i] for i in p[5:]]", "Newer dates")],
        3: [("d = np.random.default_rng(1)\npromised, kept = {}, {}\nfor t in splits:\n    true = d.normal(0, 1, (4000, t))\n"
             "    seen = true + d.normal(0, 6, true.shape)\n    i = np.arange(4000), seen.argmin(axis=1)\n"
             "    promised[t], kept[t] = seen[i].mean(), true[i].mean()\npromised, kept = pd.Series(promised), pd.Series(kept)",
             "less noisy"),
            ("d = np.random.default_rng(1)\npromised, kept = {}, {}\nfor t in splits:\n    true = d.normal(0, 1, (4000, t))\n"
             "    promised[t] = kept[t] = true.min(axis=1).mean()\npromised, kept = pd.Series(promised), pd.Series(kept)",
             "keeps less"),
            ("best = 240", "keeps most")],
    },
    "E40": {
        1: [("stricter = base\nextra = 0.0", "as many beds"),
            ("stricter = plan_with(planning_occupancy=0.85)\nextra = stricter.objective - base.objective", "cost points"),
            ("stricter = plan_with(planning_occupancy=0.85, shortage_cost=10.0)\nextra = 1.0", "nothing else"),
            ("stricter = plan_with(planning_occupancy=0.85)\nextra = base.weighted_shortage - stricter.weighted_shortage", "can't lessen")],
        2: [("price = 1.0", "still receives more"),
            ("for link in crossing:\n    for date in dates:\n"
             "        agreed.problem += agreed.model.move[link, 'icu_bed', date] <= 0\nagreed = agreed.solve_again()\n"
             "price = agreed.objective - base.objective", "dearer than the rule demands"),
            ("agreed.problem += lpSum(agreed.model.move[l, 'icu_bed', d] for l in crossing for d in dates) <= limit\n"
             "agreed = agreed.solve_again()\nprice = base.objective - agreed.objective", "cheaper")],
        3: [("short = {name: 0 for name in changes}", "must be a Series"),
            ("short = pd.Series({n: plan_with(**c).objective for n, c in changes.items()})", "in unit-days"),
            ("short = pd.Series({n: plan_with(**c).weighted_shortage for n, c in changes.items()})\nexhausted = 800.0", "lower price"),
            ("short = pd.Series({n: plan_with(**c).weighted_shortage for n, c in changes.items()})\nexhausted = 2.0", "look further up"),
            ("short = pd.Series({n: plan_with(**c).weighted_shortage for n, c in changes.items()})\n"
             "exhausted = min(p for p in prices\n"
             "                if plan_with(shortage_cost=p).weighted_shortage < plan_with(shortage_cost=800.0).weighted_shortage + 1)\n"
             "strongest = 'price doubled'", "strongest is the change")],
    },
    "E41": {
        1: [("easy_praise = short['reactive'] / short['none']\nplan_praise = short['stochastic'] / short['none']\nclosed = 0.5", "what is removed"),
            ("easy_praise, plan_praise, closed = 80.0, 90.0, 70.0", "fractions"),
            ("easy_praise = 1 - short['reactive'] / short['none']\nplan_praise = 1 - short['stochastic'] / short['none']\n"
             "closed = 1 - short['stochastic'] / short['reactive']", "ends at perfect foresight"),
            ("easy_praise = 1 - short['reactive'] / short['none']\nplan_praise = 1 - short['stochastic'] / short['none']\n"
             "closed = (short['none'] - short['stochastic']) / (short['none'] - short['perfect'])", "begins at the reactive rule")],
        2: [("alone = (higher['demand'] - higher['capacity']).clip(lower=0).sum()\nbound = 0.0\nmovable = 1.0", "Not every bed"),
            ("u = 0.9 * higher['capacity']\nalone = (higher['demand'] - u).clip(lower=0).sum()\n"
             "bound = max(0, higher['demand'].sum() - u.sum())\nmovable = 1 - bound / alone", "pool the sites, not the days"),
            ("u = 0.9 * higher['capacity']\nalone = (higher['demand'] - u).sum()\nbound = alone\nmovable = 0.0", "make up for one"),
            ("u = 0.9 * outcome['capacity']\nalone = (outcome['demand'] - u).clip(lower=0).sum()\nbound = 0.0\nmovable = 1.0", "higher demand")],
        3: [("nothing = pd.Series({p: np.clip(t - 10, 0, None).sum() for p, t in need.items()})\nreactive = 0 * nothing\nharmful = []",
             "arrives tomorrow"),
            ("nothing = pd.Series({p: np.clip(t.sum(axis=1) - 20, 0, None).sum() for p, t in need.items()})\nreactive = nothing\n"
             "harmful = []", "each keeps its ten"),
            ("nothing = pd.Series({p: np.clip(t - 10, 0, None).sum() for p, t in need.items()})\n"
             "reactive = pd.Series(0.0, index=periods)\nfor p, t in need.items():\n    for today, tomorrow in zip(t[:-1], t[1:]):\n"
             "        gap = today - 10\n        sent = max(0.0, min(gap.max(), -gap.min()))\n"
             "        there = np.array([10.0, 10.0]); there[gap.argmax()] += sent; there[gap.argmin()] -= sent\n"
             "        reactive[p] += np.clip(tomorrow - there, 0, None).sum()\nharmful = periods", "stays until it is sent on")],
    },
    "E42": {
        1: [("kept = pd.Series({a: weigh(a).promised / weigh(a).confirmed for a in amounts})", "other way round"),
            ("kept = pd.Series(1.0, index=amounts)", "depends on the amount"),
            ("kept = pd.Series({a: weigh(a).confirmed for a in amounts})", "a share")],
        2: [("ways = list(offers)", "does not bind"), ("ways = []", "At least one"), ("ways = ['all move twice as many']", "no more short than asked"),
            ("best_offer = 'all move twice as many'\nreached = least", "compare"), ("reached = least", "unit-days")],
        3: [("accused = (p < 0.05).mean()", "share of hospitals"),
            ("accused = (p < 0.05).sum(axis=1).mean()\nyears_wrong = accused", "share of years"),
            ("accused = (errors > 1.96).sum(axis=1).mean()", "both sides"),
            ("accused = (p < 0.05).sum(axis=1).mean()\nyears_wrong = (p < 0.05).any(axis=1).mean()\n"
             "years_holm = (p.mean(axis=1) < 0.05 / 40).mean()", "smallest p-value")],
    },
    "E50": {
        1: [("t = icu.groupby(['rung', 'site'])['shortage'].sum().unstack()\nshare = t.max(axis=1)\nworst = t.idxmax(axis=1)", "Leave out"),
            ("t = icu.groupby(['rung', 'site'])['shortage'].sum().unstack()\nt = t[t.sum(axis=1) >= 1]\nshare = t.max(axis=1)\n"
             "worst = t.idxmax(axis=1)", "not unit-days"),
            ("g = icu.groupby('rung')['shortage']\nshare = g.max() / g.sum()\nshare = share[g.sum() >= 1]\n"
             "worst = icu.loc[g.idxmax()].set_index('rung')['site'][share.index]", "Sum over the days first")],
        2: [("tell = lambda before, after: (f'The shortage falls from {round(before)} to {round(after)} unit-days, '\n"
             "                              f'by {abs(after - before) / max(before, 1):.0%}.')",
             "make things worse"),
            ("def tell(before, after):\n    return f'From {before} to {after} unit-days, it falls.'", "rounded"),
            ("def tell(before, after):\n    word = 'falls' if after < before else 'rises'\n"
             "    return f'It {word} from {round(before)} to {round(after)} unit-days ({abs(after - before) / max(before, 1):.0%}).'",
             "say that it is unchanged"),
            ("def tell(before, after):\n    old, new = round(before), round(after)\n"
             "    word = 'is unchanged' if old == new else 'falls' if new < old else 'rises'\n"
             "    return f'It {word}: {old} to {new} unit-days ({abs(new - old) / max(old, 1):.0%}).'", "next to nothing"),
            ("def tell(before, after):\n    old, new = round(before), round(after)\n"
             "    word = 'is unchanged' if old == new else 'falls' if new < old else 'rises'\n"
             "    return f'It {word}: {old} to {new} unit-days ({new / max(old, 1):.0%}).' if old > 9 else f'It {word}: {old} to {new} unit-days'",
             "change in percent")],
        3: [("loses = []", "There are such totals"),
            ("loses = list(range(5, 41))", "hospital by hospital"),
            ("got = {}\nfor n in range(5, 42):\n"
             "    q = n * need / need.sum(); w = np.floor(q + 1e-9).astype(int)\n"
             "    w[np.argsort(-(q - w), kind='stable')[:n - w.sum()]] += 1; got[n] = w\n"
             "loses = [n + 1 for n in range(5, 41) if (got[n + 1] < got[n]).any()]", "before the step"),
            ("got = {}\nfor n in range(5, 42):\n"
             "    q = n * need / need.sum(); w = np.floor(q + 1e-9).astype(int)\n"
             "    w[np.argsort(-(q - w), kind='stable')[:n - w.sum()]] += 1; got[n] = w\n"
             "loses = [n for n in range(5, 41) if (got[n + 1] < got[n]).any()]\none_by_one = got[40] + np.array([1, 0, -1])",
             "one at a time")],
    },
}


@pytest.mark.parametrize("name", WRONG)
def test_answers(name):
    check_answers(name, WRONG[name])


def test_every_exercise_has_wrong_answers():
    assert sorted({*FIRST, *WRONG}) == list_exercises() and not set(FIRST) & set(WRONG)
